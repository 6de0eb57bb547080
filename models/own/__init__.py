"""Models that people add."""
