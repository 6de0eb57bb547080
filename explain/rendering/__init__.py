"""Draw maps over pictures as the browser does."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
