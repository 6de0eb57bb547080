"""Say what a map cannot be trusted for, from measurements."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
