"""What the daemon has to do with the system around it: systemd, the Edge TPU's state, and its own status."""
