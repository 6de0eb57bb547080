"""The Saved page and its tabs."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
