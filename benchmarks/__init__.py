"""Measurements that are run by hand; tests assert no times."""
