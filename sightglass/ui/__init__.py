"""Parts of the dashboard that several pages share."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
