"""Compare models on labelled pictures: which one can be shipped."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
