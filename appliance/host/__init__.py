"""The daemon's contact with the system: systemd, signals, users, the Edge TPU's state, and its own status."""
