"""Hostile bundles and settings: `make fuzz`, and a short part of it in `make test`."""
