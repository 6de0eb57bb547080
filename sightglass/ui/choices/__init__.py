"""Let a person choose: picture, model, method, layers, class, boxes."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
