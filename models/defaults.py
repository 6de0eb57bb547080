"""Choose models where the user names none, or one of a family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import Problem
from models.catalog import OWN_FILES, OWN_MODELS, available, catalog, families, spec

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_DETECTOR = "yolo11n"
"""Suggested where no detector is on this machine."""
MAX_COMPARED = 8


def detector() -> str:
    """Return the catalogue's first detector whose weights are on this machine."""
    found = (one for one in catalog().values() if one.task == "detect" and "random" not in one.weights)
    return next((one.id for one in found if available(one)), FIRST_DETECTOR)


def compared(ids: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the models to compare and their short names; a single model stands for all present sizes of its family.

    Short names are the sizes where these tell the models apart. Raises Problem for an unknown model, and for fewer than
    two or more than `MAX_COMPARED`.
    """
    specs = [spec(name) for name in dict.fromkeys(ids)]
    # An operator's own models share a menu entry, but are not sizes of one family.
    if len(specs) == 1 and specs[0].family not in (OWN_FILES, OWN_MODELS):
        family = families().get(specs[0].family, [])
        specs = [one for one in family if available(one) or one.id == specs[0].id]
    if not 2 <= len(specs) <= MAX_COMPARED:
        raise Problem(f"To compare takes two to {MAX_COMPARED} models, not {len(specs)}: name each by itself.")
    sizes = [one.size for one in specs]
    short = len({one.family for one in specs}) == 1 and all(sizes) and len(set(sizes)) == len(sizes)
    return [one.id for one in specs], tuple(sizes if short else [one.id for one in specs])
