"""Evaluate models on labelled pictures."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
