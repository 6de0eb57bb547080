"""Reduce an explanation to one log line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sightglass.explain.maps import boxes
from sightglass.explain.maps.statistics import MEANING as OF_MAPS
from sightglass.explain.maps.statistics import NAMES as NAMES_OF_MAPS
from sightglass.explain.maps.statistics import Statistics, describe
from sightglass.explain.picture.quality import measure_quality

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.maps.boxes import BoxNumbers

_TAKEN = ("half_heat_area", "entropy_normalised", "gini", "spread", "border_share", "n_regions")
MEANING: dict[str, str] = {
    "confidence": "How sure the model is of its best answer, or of its best box.",
    "found": "How many boxes a detector shows.",
    **{name: OF_MAPS[name] for name in _TAKEN},
    "centre_x": "Where the evidence would balance, from the left (0) to the right (1) of what the model saw.",
    "centre_y": "Where the evidence would balance, from the top (0) to the bottom (1) of what the model saw.",
    "box_inside": "How much of the evidence is inside the boxes that the map is of.",
    "box_ratio": "How much more of the evidence those boxes hold than an even map would put there: 1 is no more.",
    "sharpness": "How much fine detail the picture has, whatever its contrast: blur lowers it.",
    "brightness": "How bright the brightest hundredth of the picture is, 0 to 1: a dark exposure lowers it.",
}
"""The numbers of the trend, explained."""
OF_PICTURES = ("sharpness", "brightness")
"""Numbers of the picture itself, whatever the model."""
NUMBERS = tuple(MEANING)
NAMES = {
    "confidence": "Confidence",
    "box_inside": "Evidence in the boxes",
    "box_ratio": "Evidence in the boxes relative to their size",
    "found": "Number of boxes",
    **{name: NAMES_OF_MAPS[name] for name in _TAKEN},
    "centre_x": "Horizontal position of the evidence",
    "centre_y": "Vertical position of the evidence",
    "sharpness": "Sharpness of the picture",
    "brightness": "Brightness of the picture",
}
"""Their short names, for menus, tables and sentences."""


@dataclass(frozen=True)
class Observation:
    """One explanation as a line of the trend."""

    model: str
    task: str
    """`classify`, `detect` or `embed`."""
    label: str | None
    """The best prediction, or the best box's class, if any."""
    state: str
    """Of the first map: `ok`, `flat`, `no evidence`, `not a number`; `none` where there is no map."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Those of `NUMBERS` that apply."""
    box_area: float | None = None
    """Of a map with boxes: their share of what the model saw."""
    source: str = ""
    time: datetime | None = None
    """Aware; None for a row of a batch run."""
    picture: str = ""
    way: str = ""
    """The map's method and layers: only numbers of maps made in the same way are comparable."""
    odd: tuple[str, ...] = ()
    """The kinds of reasons why it was odd (`sightglass.monitor.KINDS`)."""

    @property
    def confidence(self) -> float | None:
        """0..1; None where a model names nothing, found nothing, or gives each pixel a class of its own."""
        return self.numbers.get("confidence")

    def line(self) -> Json:
        """Return the line for the trend: flat, without the picture's name."""
        line: Json = {
            "time": stamp(self.time) if self.time else None,
            "model": self.model,
            "task": self.task,
            "source": self.source,
            "label": self.label,
            "state": self.state,
            "way": self.way,
            "odd": list(self.odd),
        }
        return line | {name: _short(self.numbers[name]) for name in NUMBERS if name in self.numbers}

    @staticmethod
    def read(line: Mapping[str, Any]) -> Observation:
        """Read one line of the trend; raise KeyError, TypeError or ValueError if it is not valid."""
        odd = line.get("odd", ())
        if not isinstance(line["model"], str) or not isinstance(odd, list | tuple):
            raise TypeError("A model is named by a text, and reasons are a list.")
        values = {name: float(line[name]) for name in NUMBERS if line.get(name) is not None}
        return Observation(
            model=line["model"],
            task=str(line.get("task", "")),
            label=None if line.get("label") is None else str(line["label"]),
            state=str(line.get("state", "ok")),
            numbers={name: value for name, value in values.items() if math.isfinite(value)},
            source=str(line.get("source", "")),
            time=read_stamp(line["time"]),
            way=str(line.get("way", "")),
            odd=tuple(map(str, odd)),
        )


def observe(
    explanation: Explanation,
    *,
    source: str = "",
    time: datetime | None = None,
    statistics: Statistics | None = None,
) -> Observation:
    """Return the observation of an explanation; the statistics of its first map are computed unless given."""
    found, statistics = explanation.predictions, statistics or statistics_of(explanation)
    numbers: dict[str, float] = dict(zip(OF_PICTURES, measure_quality(explanation.image.pixels), strict=True))
    best = max(found, key=lambda p: p.score) if found else None
    if best is not None and explanation.model.task not in ("embed", "regress", "segment"):
        numbers["confidence"] = float(best.score)
    if explanation.model.task == "detect":
        numbers["found"] = len(found)
    state, area = "none", None
    if statistics is not None:
        state = explanation.heatmaps[0].state
        if state == "ok":
            numbers |= _of_map(statistics, explanation.heatmaps[0].seen)
            if (boxes := box_numbers(explanation, statistics)) is not None:
                numbers |= {"box_inside": boxes.inside, "box_ratio": boxes.ratio}
                area = boxes.area
    return Observation(
        model=explanation.model.id,
        task=explanation.model.task,
        label=best.label if best else None,
        state=state,
        numbers={name: value for name, value in numbers.items() if math.isfinite(value)},
        box_area=area,
        source=source,
        time=time,
        picture=explanation.image.name,
        way=" ".join((explanation.heatmaps[0].method, *explanation.heatmaps[0].layers)) if explanation.heatmaps else "",
    )


def from_rows(rows: Sequence[Mapping[str, Any]], *, source: str = "batch") -> list[Observation]:
    """Convert the rows of a run's results to observations, one per picture, of its first map."""
    made, seen = [], set()
    for row in rows:
        key = row.get("picture")
        if key in seen:
            continue
        seen.add(key)
        made.append(_from_row(row, source))
    return made


def _from_row(row: Mapping[str, Any], source: str) -> Observation:
    def number(name: str) -> float | None:
        try:
            value = float(row[name])
        except (KeyError, TypeError, ValueError):
            return None
        return value if math.isfinite(value) else None

    def word(name: str) -> str | None:
        value = row.get(name)
        # A hole in a column of words is NaN in a table, and nothing in a CSV.
        return value.removeprefix("'") if isinstance(value, str) and value else None

    # Only a detector's maps have boxes, and a row without a map is only of a detector that found nothing.
    state = word("state") or "none"
    task = "detect" if state == "none" or number("box_area") is not None else "classify"
    values = {"confidence": number("predicted_score"), "found": number("predictions") if task == "detect" else None}
    values |= {name: number(name) for name in OF_PICTURES}
    if state == "ok":
        values |= {name: number(name) for name in (*_TAKEN, "box_inside", "box_ratio")}
        places = [number(f"seen_{side}") for side in ("left", "top", "right", "bottom")]
        x, y = number("centre_x"), number("centre_y")
        left, top, right, bottom = (place if place is not None else math.nan for place in places)
        if x is not None and y is not None and right > left and bottom > top:
            values |= {"centre_x": (x - left) / (right - left), "centre_y": (y - top) / (bottom - top)}
    return Observation(
        model=word("model") or "",
        task=task,
        label=word("predicted"),
        state=state,
        numbers={name: value for name, value in values.items() if value is not None},
        box_area=number("box_area"),
        source=source,
        picture=word("picture") or "",
        way=" ".join(part for part in (word("method"), word("layers")) if part),
    )


def statistics_of(explanation: Explanation) -> Statistics | None:
    """Return the statistics of the first map, without computing those of the others."""
    if not explanation.heatmaps:
        return None
    if "statistics" in vars(explanation):
        return explanation.statistics[0]
    heatmap = explanation.heatmaps[0]
    return describe(heatmap.measured.coarse, heatmap.seen)


def box_numbers(explanation: Explanation, statistics: Statistics) -> BoxNumbers | None:
    """Return `Explanation.box_numbers(0)` from given statistics."""
    own = explanation.own(0)
    if not own or explanation.heatmaps[0].state != "ok":
        return None
    mine = {(p.anchor, p.index) for p in own}
    others = [p for p in explanation.predictions if (p.anchor, p.index) not in mine]
    return boxes.numbers(explanation.heatmaps[0].measured, own, others, statistics.entropy_normalised)


def _of_map(statistics: Statistics, seen: tuple[int, int, int, int]) -> dict[str, float]:
    left, top, right, bottom = seen
    x, y = statistics.centre
    places = {"centre_x": (x - left) / (right - left), "centre_y": (y - top) / (bottom - top)}
    return {name: float(getattr(statistics, name)) for name in _TAKEN} | places


def stamp(time: datetime) -> str:
    """`2026-11-20T09:30:00.123456+00:00`: as text it sorts as it does in time."""
    return time.isoformat(timespec="microseconds")


def read_stamp(text: Any) -> datetime:
    """Read a time; raise ValueError or TypeError if it is not a time with a zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no time zone.")
    return time


def _short(value: float) -> float:
    """Round to six digits, enough for any of these numbers, at a third of the length."""
    return float(f"{value:.6g}")
