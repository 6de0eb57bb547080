"""The Pictures page and the parts that only it uses."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
