"""Turn a method's raw output into heatmaps, statistics and shares inside boxes."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
