"""Measures, not tests: `make bench` prints them. Compare figures of one run only; machines are noisy."""
