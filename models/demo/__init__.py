"""Drawn scenes with known causes, and demo models."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
