"""Proofs on screens and paper: curves, charts, numbers, files."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
