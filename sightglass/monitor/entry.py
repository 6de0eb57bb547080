"""An odd explanation in the log: one self-contained line, and its files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sightglass.common.files import Json, jsonable
from sightglass.explain.recipe import Recipe
from sightglass.models.geometry import Geometry
from sightglass.monitor.observation import read_stamp, stamp
from sightglass.monitor.rules import Reason

FORMAT = 1
_AS_IS = (
    "id",
    "model",
    "task",
    "source",
    "label",
    "confidence",
    "predictions",
    "statistics",
    "boxes",
    "recipe",
    "notes",
)
_OF_MAP = ("method", "layers", "of", "state")
_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}")
_FILE = re.compile(r"(map\.png|raw\.npy|raw\.npz|picture\.jpg|picture\.png)")


@dataclass(frozen=True, eq=False)
class Entry:
    """One odd explanation."""

    id: str
    time: datetime
    """Aware, UTC."""
    model: str
    task: str
    source: str
    """Where it was made: `library`, `api`, `batch`, ..."""
    picture: str
    """The picture's bare name."""
    sha256: str
    width: int
    height: int
    label: str | None
    confidence: float | None
    reasons: tuple[Reason, ...]
    predictions: tuple[tuple[str, float], ...] = ()
    """(label, score) of the best."""
    statistics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Of the first map, by the names of `sightglass.explain.maps.statistics.MEANING`; empty without a map."""
    boxes: Mapping[str, float | None] | None = field(default=None, repr=False)
    """Shares of the heat in its boxes and in others (`sightglass.explain.maps.boxes.BoxNumbers`)."""
    method: str | None = None
    layers: tuple[str, ...] = ()
    of: str | None = None
    """The class that the map explains."""
    state: str = "none"
    """Of the map: `ok`, `flat`, ...; `none` where there is no map."""
    geometry: Geometry | None = field(default=None, repr=False)
    recipe: Recipe | None = field(default=None, repr=False)
    """None if another version wrote it in another format."""
    notes: tuple[str, ...] = ()
    heatmap: Path | None = field(default=None, repr=False)
    """The map as an 8-bit grey PNG, 0 to 255 for 0 to 1, over the part of the picture that the model saw."""
    raw: Path | None = field(default=None, repr=False)
    """The map as computed, float32, signed: .npy of one layer's (h, w), .npz of several."""
    kept: Path | None = field(default=None, repr=False)
    """The picture, if the monitor saves pictures."""

    @property
    def why(self) -> tuple[str, ...]:
        """Kinds of reasons (`sightglass.monitor.KINDS`)."""
        return tuple(reason.kind for reason in self.reasons)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(reason.text for reason in self.reasons)

    @property
    def severity(self) -> float:
        """How far it is beyond its limits, all reasons together; 0 is on the limit."""
        return sum(reason.beyond for reason in self.reasons)

    def line(self, files: Mapping[str, str]) -> Json:
        """Return the line for the log; `files`: the names of its files by `heatmap`, `raw`, `picture`."""
        line: Json = jsonable(
            {
                "sightglass": FORMAT,
                **{name: getattr(self, name) for name in _AS_IS},
                "time": stamp(self.time),
                "picture": {"name": self.picture, "sha256": self.sha256, "width": self.width, "height": self.height},
                "why": self.reasons,
                "map": {name: getattr(self, name) for name in _OF_MAP},
                "geometry": self.geometry,
                "recipe": self.recipe,
                "files": files,
            }
        )
        return line

    @staticmethod
    def read(line: Mapping[str, Any], folder: Path) -> Entry:
        """Read one line of the log, its files in `folder`; raise KeyError, TypeError or ValueError if it is invalid."""
        name, picture = line["id"], line["picture"]
        if not _ID.fullmatch(name):
            raise ValueError(f"{name!r} is no entry's name.")

        def file(kind: str) -> Path | None:
            given = line["files"].get(kind)
            # The log may come from anywhere: no name of it leads out of its folder.
            if not isinstance(given, str) or not _FILE.fullmatch(given.removeprefix(f"{name}-")):
                return None
            return folder / given

        entry: Entry = _reader().validate_python(
            {
                **{name: line[name] for name in (*_AS_IS, "geometry")},
                **{name: line["map"][name] for name in _OF_MAP},
                **{name: picture[name] for name in ("sha256", "width", "height")},
                "picture": picture["name"],
                "time": read_stamp(line["time"]),
                "reasons": line["why"],
                "statistics": line["statistics"] or {},
                "recipe": _recipe(line["recipe"]),
                "heatmap": file("heatmap"),
                "raw": file("raw"),
                "kept": file("picture"),
            }
        )
        if (geometry := entry.geometry) is not None and not (
            min(geometry.original + geometry.input) > 0 and all(0 < scale < math.inf for scale in geometry.scale)
        ):
            raise ValueError(f"{geometry} is no geometry.")
        return entry


@cache
def _reader() -> TypeAdapter[Any]:
    return TypeAdapter(Entry)


def _recipe(value: Any) -> Recipe | None:
    try:
        return Recipe.model_validate(value)
    except ValueError:
        return None
