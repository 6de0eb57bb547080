"""The project under its own name: what `explain` offers in Python, and the `sightglass` command.

    from sightglass import Explainer

The rooms of the project are installed beside this package under their own plain names, which a folder of yours may have
too; that is checked here, before anything is taken from the wrong place.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explain import Explainer as Explainer
    from explain import Explanation as Explanation
    from explain import Heatmap as Heatmap
    from explain import Image as Image
    from explain import Problem as Problem
    from explain import Recipe as Recipe
    from explain import replay as replay


def _check(*rooms: str) -> None:
    """Raise ImportError where Python finds a package of somebody else under the name of a room."""
    for room in rooms:
        found = find_spec(room)
        places = list(found.submodule_search_locations or ()) if found else []
        ours = Path(__file__).parents[1] / room
        if not any(Path(place).exists() and ours.exists() and Path(place).samefile(ours) for place in places):
            where = (found.origin if found else None) or "somewhere else"
            raise ImportError(
                f"Python finds another {room} ({where}) instead of Sightglass's own: run from another folder, rename "
                "it, or install Sightglass in an environment of its own."
            )


_check("common", "models", "explain", "cli")

import explain as _engine  # noqa: E402

__all__ = _engine.__all__


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sightglass' has no attribute {name!r}")
    return getattr(_engine, name)
