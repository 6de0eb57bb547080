"""Catalogue, weights, preprocessing and adapters of every model."""

import sys

from sightglass.common.lazy import defer_imports

defer_imports(__name__)

if __name__ == "models":  # the bare name, in a checkout
    from importlib import import_module

    sys.modules[__name__] = import_module("sightglass.models")
