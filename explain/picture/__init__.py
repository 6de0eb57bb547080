"""Decode pictures from any source into pixel arrays, safely."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
