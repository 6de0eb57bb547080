"""Explain models as they are, without batch norms folded into convolutions."""

from contextlib import AbstractContextManager
from unittest.mock import patch

from sightglass.models.adapters import folding


def unfold() -> AbstractContextManager[object]:
    """Run all models unfolded while the context lasts, in all threads."""
    return patch.object(folding, "folds", lambda: False)
