"""Runs with labels: how answers are held against them."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
