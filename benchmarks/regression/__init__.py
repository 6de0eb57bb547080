"""Measure which maps of a number find what it measures."""
