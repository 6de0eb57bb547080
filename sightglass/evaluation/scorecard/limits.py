"""Limits of a scorecard: models, tolerance."""

MOST = 6
"""Models that are compared at once."""
TOLERANCE = 0.02
"""Of AP or accuracy that may be lost."""
