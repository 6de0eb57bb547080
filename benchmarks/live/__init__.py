"""Benchmark the Live page in a real browser with a fake camera."""
