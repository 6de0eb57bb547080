"""The Explore page and its views."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
