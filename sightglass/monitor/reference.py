"""Reference numbers for drift."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import Json, csv_cells, write_file
from sightglass.monitor.observation import NUMBERS, OF_PICTURES, Observation, read_stamp, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

FORMAT = 1
RESULTS = ("results.parquet", "results.csv")
"""Names of a batch's table."""
WATCHED = "what was watched until"
"""Start of the name of a reference taken from the trend; its time follows."""
MOST = 5000
"""Maximum number of values to save; of more, evenly spaced ones."""
OF_ANSWERS = ("confidence", "found")
"""Numbers that do not depend on the method."""


@dataclass(frozen=True, eq=False)
class Known:
    """One model's reference."""

    model: str
    name: str
    """Its origin, in words."""
    made: datetime
    count: int
    """Number of pictures."""
    numbers: Mapping[str, Values] = field(repr=False)
    """float64 (n,) by name, in order of arrival, without pictures to which a number does not apply."""
    labels: Mapping[str, int] = field(repr=False)
    """Number of pictures by best label."""
    way: str = ""
    """The most frequent method and layers; numbers of maps are restricted to them."""
    until: datetime | None = None
    """End of a reference taken from the trend, exclusive."""
    pictures: tuple[str, ...] = field(default=(), repr=False)
    """What a reference from elsewhere would look like in the log (`_mark`), which may hold the same pictures."""

    def leave_out(self, seen: Iterable[Observation]) -> list[Observation]:
        """Return the observations that are not of the reference itself."""
        own = Counter(self.pictures)
        found = []
        for one in seen:
            if self.until is not None and one.time is not None and one.time < self.until:
                continue
            # A picture that comes again after the reference was made is a new one.
            if one.time is not None and one.time < self.made and own[mark := _mark(one)] > 0:
                own[mark] -= 1
                continue
            found.append(one)
        return found


@dataclass(frozen=True)
class Reference:
    """References by model."""

    models: Mapping[str, Known]


def make_reference(observations: Sequence[Observation], name: str, *, until: datetime | None = None) -> Known:
    """Return the reference made of one model's observations."""
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
        pictures=() if until else tuple(map(_mark, observations)),
    )


def _mark(one: Observation) -> str:
    """Return what tells a picture's line in the log from others: the log has no names of pictures."""
    # Rounded as in the log first: rounding twice can give another number than rounding once.
    values = [
        f"{float(f'{one.numbers[name]:.6g}'):.4g}" for name in ("confidence", "gini", "spread") if name in one.numbers
    ]
    text = json.dumps([one.model, one.label, one.way, *values])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def numbers(observations: Iterable[Observation], way: str) -> dict[str, Values]:
    """Return float64 (n,) by name; numbers of maps only for this method and layers."""
    found: dict[str, list[float]] = {}
    for one in observations:
        for name, value in one.numbers.items():
            if name in OF_ANSWERS or name in OF_PICTURES or one.way == way:
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
    return Reference({each: make_reference(some, name, until=until) for each, some in by_model.items()})


def rows(path: Path) -> list[Json]:
    """Return a run's table from results.parquet, results.csv or their folder; raise Problem if there is none."""
    if path.is_dir():
        named = [path / name for name in RESULTS if (path / name).is_file()]
        if not named:
            raise Problem(f"{path} holds no results of a folder of pictures: there is no results.parquet in it.")
        path = named[0]
    try:
        if path.suffix.lower() == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                table: list[Json] = [*csv_cells.read(file)]
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
    """Write a reference atomically; raise Problem if that fails."""
    models = {
        model: {
            "name": one.name,
            "made": stamp(one.made),
            "until": stamp(one.until) if one.until else None,
            "count": one.count,
            "way": one.way,
            "labels": dict(one.labels),
            "pictures": one.pictures,
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
    """Read a reference; None if there is none. Raises Problem if it is damaged."""
    try:
        models = json.loads(path.read_bytes())["models"]
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
                    pictures=tuple(map(str, one.get("pictures", ()))),
                )
                for model, one in models.items()
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
