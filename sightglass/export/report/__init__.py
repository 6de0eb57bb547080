"""Reports: HTML, PDF, notebooks, re-identification."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
