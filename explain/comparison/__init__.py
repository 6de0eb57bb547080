"""Compare explanations: several models on one picture, two pictures, two detectors."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
