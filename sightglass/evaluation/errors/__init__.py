"""Errors on labelled pictures: types, headline, thresholds, tiles."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
