"""Read how a run's segmentations fit their masks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.evaluation import masks
from sightglass.evaluation.kinds import KINDS
from sightglass.evaluation.masks import Pair

if TYPE_CHECKING:
    from pathlib import Path

FILE = KINDS["areas"].file
"""Beside the table: one row a picture, with its mask's problem or its pairs of classes."""


@dataclass(frozen=True)
class MaskedPictures:
    """How the pixels of a run's pictures are answered."""

    model: str
    classes: tuple[str, ...] = field(repr=False)
    unknown: tuple[str, ...]
    """Labels for which the model has no class: their pixels are not counted."""
    keys: tuple[str, ...] = field(repr=False)
    pairs: tuple[tuple[Pair, ...], ...] = field(repr=False)
    """Of each of `keys`."""
    problems: tuple[tuple[str, str], ...] = ()
    """(picture, why) where a mask is missing or cannot be used."""


def read(folder: Path) -> MaskedPictures:
    """Return how a run's pixels are answered; raise Problem where it has no masks."""
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        table = parquet.read_table(folder / FILE)
        about = json.loads(table.schema.metadata[masks.ABOUT])
        rows = table.to_pylist()
        good = [one for one in rows if one["problem"] is None]
        return MaskedPictures(
            about["model"],
            tuple(about["classes"]),
            tuple(about["unknown"]),
            tuple(one["picture"] for one in good),
            tuple(tuple(zip(one["truth"], one["answer"], one["count"], strict=True)) for one in good),
            tuple((one["picture"], one["problem"]) for one in rows if one["problem"] is not None),
        )
    except (OSError, ValueError, KeyError, TypeError, ArrowException) as problem:
        raise Problem(f"There are no masks in {folder.name}: run it with --labels and a folder of masks.") from problem
