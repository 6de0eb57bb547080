"""Hold a run's segmentations against true masks, picture by picture."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from sightglass.common.errors import Problem
from sightglass.common.files import atomic_write
from sightglass.evaluation import masks
from sightglass.evaluation.masks import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sightglass.batch.journal import Journal, Outcome
    from sightglass.batch.labelled.labels import RunLabels
    from sightglass.batch.records import Row
    from sightglass.evaluation.stored import EvaluationFacts
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.item import Item
    from sightglass.models.adapters.segmenter import Segmenter

FILE = "masks.parquet"
"""Beside the table: one row a picture, with its mask's problem or its pairs of classes."""
NAME = "masked"
"""Of what an outcome says of the mask."""
COLUMNS = ("mean_iou", "pixel_accuracy")
"""Of the table: the numbers of one picture, none without a mask that can be used."""
_PAIR = ("truth", "answer", "count")
"""Columns of the file: the three numbers of each of a picture's pairs."""
_ABOUT = b"sightglass_masks"
"""Key of what holds for all pictures in the metadata of the file."""


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


def measure_picture(labels: RunLabels, item: Item, made: Explanation) -> Outcome:
    """Return what an outcome says of a segmentation and its mask; nothing of a picture without one."""
    given = labels.truth.find_mask(item.key)
    if given is None or made.segmentation is None:
        return {}
    adapter = cast("Segmenter", made.evidence.resident.adapter)
    classes = adapter.labels
    background = next((i for i in range(len(classes)) if adapter.is_background(i)), masks.VOID)
    indices = {label: classes.index(min(named)) for label, named in labels.named.items() if named}
    found: Outcome = {"digest": _digest(labels, given)}
    try:
        truth = masks.decode(
            given, made.segmentation.shape, labels.truth.mask_labels, indices, len(classes), background
        )
        found["pairs"] = masks.count_pairs(truth, made.segmentation)
    except ValueError as problem:
        found["problem"] = str(problem)
    return {NAME: found}


def add_columns(rows: list[Row], held: Outcome) -> list[Row]:
    """Return a picture's rows of the table with `COLUMNS`."""
    if NAME not in held:
        return rows
    pairs = held[NAME].get("pairs")
    numbers = masks.score_picture(pairs) if pairs else (None, None)
    return [row | dict(zip(COLUMNS, numbers, strict=True)) for row in rows]


def _digest(labels: RunLabels, given: bytes) -> str:
    """Return a text that changes with a picture's mask and with what its labels mean."""
    named = json.dumps([labels.truth.mask_labels, sorted((name, *every) for name, every in labels.named.items())])
    return hashlib.sha256(named.encode() + given).hexdigest()[:16]


def lacking(labels: RunLabels, items: Sequence[Item], journal: Journal) -> set[str]:
    """Return the keys of pictures that were explained without masks, or with others."""
    wanted = {item.key: _digest(labels, given) for item in items if (given := labels.truth.find_mask(item.key))}
    return find_stale(journal, NAME, wanted)


def find_stale(journal: Journal, name: str, digests: Mapping[str, str]) -> set[str]:
    """Return the keys of explained pictures whose outcome has under `name` another digest, or none."""
    return {
        one["key"]
        for one in journal.outcomes(list(digests))
        if "rows" in one and one.get(name, {}).get("digest") != digests[one["key"]]
    }


def write(
    folder: Path, journal: Journal, items: Sequence[Item], labels: RunLabels | None, facts: EvaluationFacts
) -> None:
    """Write the pairs of classes beside the table of a run; without masks none are left."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    if labels is None:
        (folder / FILE).unlink(missing_ok=True)
        return
    about = {"model": facts.model, "classes": facts.classes, "unknown": labels.unknown}
    numbers = pa.list_(pa.int64())
    schema = pa.schema(
        [
            ("picture", pa.string()),
            ("problem", pa.string()),
            *((name, numbers) for name in _PAIR),
        ],
        {_ABOUT: json.dumps(about)},
    )
    rows = list(_list_rows(journal, items))
    with atomic_write(folder / FILE) as draft:
        parquet.write_table(pa.Table.from_pylist(rows, schema), draft, compression="zstd")


def _list_rows(journal: Journal, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    for outcome in journal.outcomes([item.key for item in items]):
        if "rows" not in outcome:
            continue
        found = outcome.get(NAME, {"problem": "no mask is named as this picture"})
        pairs = found.get("pairs", ())
        columns = {name: [pair[place] for pair in pairs] for place, name in enumerate(_PAIR)}
        yield {"picture": outcome["key"], "problem": found.get("problem"), **columns}


def read(folder: Path) -> MaskedPictures:
    """Return how a run's pixels are answered; raise Problem where it has no masks."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(folder / FILE)
        about = json.loads(table.schema.metadata[_ABOUT])
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
