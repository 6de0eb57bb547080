"""An odd explanation in the log: one self-contained line, and its files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explain.monitor.observation import read_stamp, stamp
from explain.monitor.rules import Reason
from explain.recipe import Recipe
from models.geometry import Geometry

if TYPE_CHECKING:
    from datetime import datetime

FORMAT = 1
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
    """Which door it came through: `library`, `api`, `batch`, ..."""
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
    """Of the first map, by the names of `explain.maps.statistics.MEANING`; empty where there is no map."""
    boxes: Mapping[str, float] | None = field(default=None, repr=False)
    """How the map lies to its boxes (`explain.maps.boxes.BoxNumbers`)."""
    method: str | None = None
    layers: tuple[str, ...] = ()
    of: str | None = None
    """What the map is of: a class."""
    state: str = "none"
    """Of the map: `ok`, `flat`, ...; `none` where there is no map."""
    geometry: Geometry | None = field(default=None, repr=False)
    recipe: Recipe | None = field(default=None, repr=False)
    """None where another version wrote it in another form."""
    notes: tuple[str, ...] = ()
    heatmap: Path | None = field(default=None, repr=False)
    """The map as an 8-bit grey PNG, 0 to 255 for 0 to 1, over the part of the picture that the model saw."""
    raw: Path | None = field(default=None, repr=False)
    """The map as computed, float32, signed: .npy of one layer's (h, w), .npz of several."""
    kept: Path | None = field(default=None, repr=False)
    """The picture itself, where the monitor was asked to keep it."""

    @property
    def why(self) -> tuple[str, ...]:
        """Kinds of reasons (`explain.monitor.KINDS`)."""
        return tuple(reason.kind for reason in self.reasons)

    @property
    def words(self) -> tuple[str, ...]:
        """A sentence for each reason."""
        return tuple(reason.text for reason in self.reasons)

    @property
    def severity(self) -> float:
        """How far it is beyond its limits, all reasons together; 0 is on the limit."""
        return sum(reason.beyond for reason in self.reasons)

    def line(self, files: Mapping[str, str]) -> dict[str, Any]:
        """As the log has it; `files`: the names of its files by `heatmap`, `raw`, `picture`."""
        said: dict[str, Any] = {
            "sightglass": FORMAT,
            "id": self.id,
            "time": stamp(self.time),
            "model": self.model,
            "task": self.task,
            "source": self.source,
            "picture": {"name": self.picture, "sha256": self.sha256, "width": self.width, "height": self.height},
            "label": self.label,
            "confidence": self.confidence,
            "why": [asdict(reason) for reason in self.reasons],
            "predictions": [[label, score] for label, score in self.predictions],
            "map": {"method": self.method, "layers": self.layers, "of": self.of, "state": self.state},
            "geometry": asdict(self.geometry) if self.geometry else None,
            "statistics": self.statistics,
            "boxes": self.boxes,
            "recipe": self.recipe.model_dump(mode="json") if self.recipe else None,
            "notes": self.notes,
            "files": dict(files),
        }
        plain: dict[str, Any] = finite(said)
        return plain

    @staticmethod
    def read(line: Mapping[str, Any], folder: Path) -> Entry:
        """One line of the log, its files in `folder`; raises KeyError, TypeError or ValueError where it is none."""
        name, picture, shown = line["id"], line["picture"], line["map"]
        if not _ID.fullmatch(name):
            raise ValueError(f"{name!r} is no entry's name.")

        def file(kind: str) -> Path | None:
            given = line["files"].get(kind)
            # The log may come from anywhere: no name of it leads out of its folder.
            if not isinstance(given, str) or not _FILE.fullmatch(given.removeprefix(f"{name}-")):
                return None
            return folder / given

        return Entry(
            id=name,
            time=read_stamp(line["time"]),
            model=str(line["model"]),
            task=str(line["task"]),
            source=str(line["source"]),
            picture=str(picture["name"]),
            sha256=str(picture["sha256"]),
            width=int(picture["width"]),
            height=int(picture["height"]),
            label=_text(line["label"]),
            confidence=None if line["confidence"] is None else float(line["confidence"]),
            reasons=tuple(Reason(str(r["kind"]), str(r["text"]), float(r["beyond"])) for r in line["why"]),
            predictions=tuple((str(label), float(score)) for label, score in line["predictions"]),
            statistics=dict(line["statistics"] or {}),
            boxes=line["boxes"],
            method=_text(shown["method"]),
            layers=tuple(map(str, shown["layers"])),
            of=_text(shown["of"]),
            state=str(shown["state"]),
            geometry=_geometry(line["geometry"]),
            recipe=_recipe(line["recipe"]),
            notes=tuple(map(str, line["notes"])),
            heatmap=file("heatmap"),
            raw=file("raw"),
            kept=file("picture"),
        )


def finite(value: Any) -> Any:
    """Plain values for JSON: what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _recipe(value: Any) -> Recipe | None:
    try:
        return Recipe.model_validate(value)
    except ValueError:
        return None


def _geometry(value: Any) -> Geometry | None:
    if value is None:
        return None
    (height, width), (h, w) = value["original"], value["input"]
    (sy, sx), (oy, ox) = value["scale"], value["offset"]
    found = Geometry((int(height), int(width)), (int(h), int(w)), (float(sy), float(sx)), (float(oy), float(ox)))
    if not (min(found.original + found.input) > 0 and all(0 < scale < math.inf for scale in found.scale)):
        raise ValueError(f"{value} is no geometry.")
    return found
