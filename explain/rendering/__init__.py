"""Draw maps over pictures, pixel for pixel as in the browser."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
