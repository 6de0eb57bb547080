"""Which models are meant where somebody names none, or one of a family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import Problem
from models.catalog import OWN_FILES, OWN_MODELS, available, catalog, families, spec

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_DETECTOR = "yolo11n"
"""What is asked for where no detector is on this machine."""
MOST = 8


def detector() -> str:
    """A detector whose weights are on this machine, the catalogue's first."""
    found = (one for one in catalog().values() if one.task == "detect" and "random" not in one.weights)
    return next((one.id for one in found if available(one)), FIRST_DETECTOR)


def compared(ids: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The models to compare, of one all sizes of its family that are here, and what they are called: by their sizes
    where those tell them apart. Raises Problem for an unknown one, and for fewer than two or more than `MOST`."""
    specs = [spec(name) for name in dict.fromkeys(ids)]
    # Somebody's own stand together in the menu, and are no sizes of one another.
    if len(specs) == 1 and specs[0].family not in (OWN_FILES, OWN_MODELS):
        family = families().get(specs[0].family, [])
        specs = [one for one in family if available(one) or one.id == specs[0].id]
    if not 2 <= len(specs) <= MOST:
        raise Problem(f"To compare takes two to {MOST} models, not {len(specs)}: name each by itself.")
    sizes = [one.size for one in specs]
    short = len({one.family for one in specs}) == 1 and all(sizes) and len(set(sizes)) == len(sizes)
    return [one.id for one in specs], tuple(sizes if short else [one.id for one in specs])
