"""Turns a painting into a style bundle for the appliance: train, distil, export."""

__version__ = "0.1.0"
