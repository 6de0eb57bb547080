"""What a run over a clip leaves: timeline, curves, moments."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
