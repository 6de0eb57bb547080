"""Test maps: proofs, randomised weights, stability."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
