"""Find, download and read weights."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
