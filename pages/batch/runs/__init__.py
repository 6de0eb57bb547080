"""Runs of this session and of before."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
