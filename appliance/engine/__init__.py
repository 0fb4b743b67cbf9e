"""Runs a style's plan: interpreters for its segments, NumPy for the stages between them."""
