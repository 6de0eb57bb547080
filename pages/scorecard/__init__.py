"""Scorecard: which of some models can be shipped."""
