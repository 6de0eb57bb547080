"""Run a model once; keep activations, outputs and gradients."""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
