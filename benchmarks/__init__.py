"""Benchmarks of speed, memory and correctness against other libraries.

Run them with `python -m benchmarks`.
"""
