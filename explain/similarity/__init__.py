"""Explain similarity, rank galleries, evaluate re-identification."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
