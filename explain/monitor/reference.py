"""What drift is compared with: the numbers of pictures that were as they should be, by model, in one file."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import Problem
from common.files import write_file
from explain.monitor.observation import NUMBERS, Observation, read_stamp, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

FORMAT = 1
WATCHED = "what was watched until"
"""How the name of a reference begins that was watched; its time follows."""
MOST = 5000
"""Values of a number that are kept; of more, evenly many of all."""
OF_ANSWERS = ("confidence", "found")
"""Numbers that do not depend on how the map was made."""


@dataclass(frozen=True, eq=False)
class Known:
    """One model's reference."""

    model: str
    name: str
    """Where it comes from, in words."""
    made: datetime
    count: int
    """Pictures."""
    numbers: Mapping[str, Values] = field(repr=False)
    """float64 (n,) by name, in the order that they came in; a number that did not apply to a picture is left out."""
    labels: Mapping[str, int] = field(repr=False)
    """How often each label was the best answer."""
    way: str = ""
    """The method and layers that most maps were made by; numbers of maps are of these alone."""
    until: datetime | None = None
    """Of a reference that was watched: what came from here on is not in it."""


@dataclass(frozen=True)
class Reference:
    """A reference for each of some models."""

    models: Mapping[str, Known]


def known(observations: Sequence[Observation], name: str, *, until: datetime | None = None) -> Known:
    """The reference that observations of one model make."""
    ways = Counter(one.way for one in observations if one.way)
    way = ways.most_common(1)[0][0] if ways else ""
    return Known(
        model=observations[0].model,
        name=name,
        made=datetime.now(UTC),
        count=len(observations),
        numbers=numbers(observations, way),
        labels=Counter(one.label for one in observations if one.label is not None),
        way=way,
        until=until,
    )


def numbers(observations: Iterable[Observation], way: str) -> dict[str, Values]:
    """float64 (n,) by name; numbers of maps only of those that were made in this way."""
    found: dict[str, list[float]] = {}
    for one in observations:
        for name, value in one.numbers.items():
            if name in OF_ANSWERS or one.way == way:
                found.setdefault(name, []).append(value)
    return {name: np.array(found[name], np.float64) for name in NUMBERS if name in found}


def gather(
    observations: Iterable[Observation], name: str, *, model: str | None = None, until: datetime | None = None
) -> Reference:
    """Return the reference of each model in `observations`, or of `model` alone; raise Problem if there is none."""
    by_model: dict[str, list[Observation]] = {}
    for one in observations:
        if one.model and model in (None, one.model):
            by_model.setdefault(one.model, []).append(one)
    if not by_model:
        raise Problem(
            f"There is nothing{f' of {model}' if model else ''} to take as the reference: watch pictures first."
        )
    return Reference({each: known(some, name, until=until) for each, some in by_model.items()})


def rows(path: Path) -> list[dict[str, Any]]:
    """A folder run's table, from results.parquet, results.csv or their folder; raises Problem where it is none."""
    if path.is_dir():
        named = [path / name for name in ("results.parquet", "results.csv") if (path / name).is_file()]
        if not named:
            raise Problem(f"{path} holds no results of a folder of pictures: there is no results.parquet in it.")
        path = named[0]
    try:
        if path.suffix.lower() == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                table: list[dict[str, Any]] = [*csv.DictReader(file)]
        else:
            from pyarrow import parquet  # type: ignore[import-untyped]

            columns = [name for name in parquet.read_schema(path).names if name not in ("cells", "regions")]
            table = parquet.read_table(path, columns=columns).to_pylist()
    # Its own errors are children of ValueError, OSError and KeyError.
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise Problem(f"{path} cannot be read as results of a folder of pictures: give a results.parquet.") from error
    if not table or not {"picture", "model"} <= set(table[0]):
        raise Problem(f"{path} holds no results of a folder of pictures.")
    return table


def save(reference: Reference, path: Path) -> None:
    """Write it, whole or not at all; raises Problem where it cannot be written."""
    models = {
        model: {
            "name": one.name,
            "made": stamp(one.made),
            "until": stamp(one.until) if one.until else None,
            "count": one.count,
            "way": one.way,
            "labels": dict(one.labels),
            "numbers": {name: [float(f"{v:.6g}") for v in _evenly(values)] for name, values in one.numbers.items()},
        }
        for model, one in reference.models.items()
    }
    data = json.dumps({"sightglass": FORMAT, "models": models}, separators=(",", ":")).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, data, sync=True)
    except OSError as error:
        raise Problem(f"The reference cannot be written to {path.parent} ({error.strerror}).") from error


def load(path: Path) -> Reference | None:
    """As it was saved; None where there is none. Raises Problem where it is damaged."""
    try:
        held = json.loads(path.read_bytes())["models"]
        return Reference(
            {
                str(model): Known(
                    model=str(model),
                    name=str(one["name"]),
                    made=read_stamp(one["made"]),
                    count=int(one["count"]),
                    numbers={str(name): np.array(values, np.float64) for name, values in one["numbers"].items()},
                    labels={str(label): int(count) for label, count in one["labels"].items()},
                    way=str(one["way"]),
                    until=read_stamp(one["until"]) if one["until"] else None,
                )
                for model, one in held.items()
            }
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Problem(f"{path} is no reference, or is damaged: set the reference again.") from error


def _evenly(values: Values) -> Values:
    if len(values) <= MOST:
        return values
    return values[np.linspace(0, len(values) - 1, MOST).round().astype(np.intp)]
