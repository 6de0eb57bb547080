"""Show results that several pages share: panels, charts, boxes, comparisons."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
