"""Catalogue, weights, preprocessing and adapters of every model."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
