"""Evidence pack: a labelled run as slides, PDF, page and tables."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
