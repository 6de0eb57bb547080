"""Read and write video files."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
