"""Batch runs of before: what each was made of, and a list."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
