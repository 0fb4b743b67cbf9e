"""Runs a style's plan: interpreters for its segments, NumPy for what lies between them."""
