"""Measurements that back the figures in the README; each is run as `python -m benchmarks.NAME`."""
