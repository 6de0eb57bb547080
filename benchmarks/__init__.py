"""What is fast and what is right, measured against the peers in one run: `python -m benchmarks`."""
