"""Turns a painting into a style bundle for the appliance: train, distil, export."""

from appliance import __version__

__all__ = ["__version__"]
