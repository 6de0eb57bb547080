"""Compare models on labelled pictures: which one can be shipped."""

from sightglass.common.lazy import defer_imports

MOST = 6
"""Models that are compared at once."""
TOLERANCE = 0.02
"""Of AP or accuracy that may be lost."""

defer_imports(__name__)
