"""Edit a picture and compare the model's answers."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
