"""The boxes of a detector as rows, as rectangles and as maps that go by the same place, and the one that is chosen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from components.answer_list import Row, rows
from components.session import explain_job, url_state
from components.viewer import Box
from components.views import panels
from components.views.charts import metric
from explain.phrases import percent

if TYPE_CHECKING:
    from components.choices.detection_options import Asked
    from components.choices.sidebar import Choices
    from components.viewer import Map
    from explain import Explainer, Explanation
    from models.adapter import Prediction

HELD = 12
"""Boxes whose maps are made at once; another's is made when it is chosen."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Item:
    """One row, one rectangle and, where it is held, one map: all at the same place in their lists."""

    pair: Pair
    """The candidate and its class."""
    label: str
    score: float
    number: str
    """Its place among what is shown, from 1; `?` for a candidate that is not shown."""
    prediction: Prediction
    count: int = 1
    """Boxes that it stands for."""

    @property
    def name(self) -> str:
        """`person 4`."""
        return f"{self.label} {self.number}" if self.number not in ("", "?") else self.label

    @property
    def title(self) -> str:
        if self.count > 1:
            return f"{self.count} × {self.label}"
        return f"{self.number}  {self.label}".strip()


def first(choices: Choices, explainer: Explainer, asked: Asked) -> Explanation:
    """What is shown and why not, by a quick method: a slow one is asked for a single box, and that has to be known."""
    if explain_job.is_slow(choices.method):
        return explainer(choices.image, maps=False, **choices.options | asked.options)
    made = explain_job.explained(choices, explainer, top_k=HELD, **asked.options)
    assert made is not None  # only slow methods are made aside
    return made


def quick_method(choices: Choices, explainer: Explainer) -> str:
    """The chosen method, or where that is slow the model's own."""
    if not explain_job.is_slow(choices.method):
        return choices.method
    return "gradcam" if explain_job.is_slow(explainer.model.method) else explainer.model.method


def explained(
    choices: Choices, explainer: Explainer, asked: Asked, base: Explanation, pair: Pair | None, candidate: Pair | None
) -> Explanation | None:
    """The maps of the best boxes, of the chosen one and of a candidate; None while a slow one is in the making."""
    every = [pair_of(p) for p in base.predictions]
    if explain_job.is_slow(choices.method):
        known = [*every, candidate] if candidate else every
        if not known:
            return base
        chosen = pair if pair in known else next((p for p in every if pair and p[1] == pair[1]), known[0])
        target = {"detection": (chosen,), "class": (base.evidence.resident.adapter.labels[chosen[1]],), "picture": ()}
        return explain_job.explained(choices, explainer, targets=target[asked.per], **asked.options)
    if asked.per == "picture":
        return base
    # A class is known by its index alone.
    known = every if asked.per == "detection" else list(dict.fromkeys((-1, kind) for _, kind in every))
    best = known[:HELD]
    extra = [p for p in (pair, candidate) if p is not None and p not in best and (p in known or p == candidate)]
    if not extra:
        return base
    wanted = [*best, *dict.fromkeys(extra)]
    targets = tuple(wanted) if asked.per == "detection" else tuple(kind for _, kind in wanted)
    return explain_job.explained(choices, explainer, top_k=HELD, targets=targets, **asked.options)


def items(explanation: Explanation, candidate: Prediction | None = None) -> list[Item]:
    """Everything to choose from: first what has a map, in the maps' order, then the rest.

    `candidate`: what was looked up, which is chosen before it has a map: a slow method makes the chosen one's alone.
    """
    per, found = explanation.options.per, explanation.predictions
    if per == "picture":
        return [_item(p, str(i)) for i, p in enumerate(found, 1)]
    if per == "class":
        kinds = [heatmap.target.index for heatmap in explanation.heatmaps]
        return [_kind(explanation, kind) for kind in _once(kinds, found)]
    numbers = {pair_of(p): str(i) for i, p in enumerate(found, 1)}
    listed = []
    for i in range(len(explanation.heatmaps)):
        own = explanation.own(i)
        if own:
            listed.append(_item(own[0], numbers.get(pair_of(own[0]), "?")))
    held, rest = {item.pair for item in listed}, [*found]
    if candidate is not None and pair_of(candidate) not in numbers:
        rest.append(candidate)
    return listed + [_item(p, numbers.get(pair_of(p), "?")) for p in rest if pair_of(p) not in held]


def _once(kinds: list[int | None], found: tuple[Prediction, ...]) -> list[int]:
    """Every class once: those that have a map in their order, then the rest."""
    shown = [p.index for p in found]
    return list(dict.fromkeys([kind for kind in kinds if kind in shown] + shown))


def _item(prediction: Prediction, number: str) -> Item:
    return Item(pair_of(prediction), prediction.label, prediction.score, number, prediction)


def _kind(explanation: Explanation, index: int) -> Item:
    """All boxes of a class as one."""
    own = [p for p in explanation.predictions if p.index == index]
    best = max(own, key=lambda p: p.score)
    return Item((-1, index), best.label, best.score, "", best, len(own))


def pair_of(prediction: Prediction) -> Pair:
    """What a box is known by: its candidate and its class."""
    return (-1 if prediction.anchor is None else prediction.anchor, prediction.index)


def place(listed: list[Item], pair: Pair | None) -> int:
    """Where the chosen box is in the list; of another kind of list, the first of its class; else the first of all."""
    exact = [i for i, item in enumerate(listed) if item.pair == pair]
    alike = [i for i, item in enumerate(listed) if pair is not None and item.pair[1] == pair[1]]
    return next(iter([*exact, *alike]), 0)


def arrive(explanation: Explanation) -> None:
    """Another picture or model starts at its best box; the first one at the box that the address names."""
    state = st.session_state
    of = (explanation.image.sha256, explanation.model.id)
    if state.get("box_of") == of:
        return
    asked = st.query_params.get("box", "") if "box_of" not in state else ""
    number, found = int(asked) if asked.isdecimal() else 0, explanation.predictions
    state["box"] = pair_of(found[number - 1]) if 0 < number <= len(found) else None
    state["box_of"] = of


def choose(pair: Pair | None) -> None:
    """Remember the box that is looked at."""
    st.session_state["box"] = pair


def keep(listed: list[Item], chosen: int) -> None:
    """The chosen box in the address, by its number; the first is where everybody starts, or a candidate is."""
    number = listed[chosen].number if listed else ""
    first = None if any(item.number == "?" for item in listed) else "1"
    url_state.write("box", number if number.isdecimal() else None, first)


def listing(explanation: Explanation, listed: list[Item], chosen: int) -> int:
    """The list; returns the place of the row that is chosen. A click is seen in the viewer before this runs again."""
    told = repr([(item.pair, item.number, item.score) for item in listed])
    digest = hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
    # A choice that the screen made itself is another list, which starts there.
    turn = st.session_state.setdefault("boxes-turn", 0)
    key = f"boxes-{turn}-{explanation.image.sha256[:12]}-{explanation.model.id}-{digest}"
    return rows([Row(item.title, item.score, percent(item.score)) for item in listed], key=key, chosen=chosen)


def turn() -> None:
    """The next list starts at what is chosen by then."""
    st.session_state["boxes-turn"] = st.session_state.get("boxes-turn", 0) + 1


def marks(explanation: Explanation, listed: list[Item], tags: str, chosen: int | None = None) -> tuple[Box, ...]:
    """The rectangles of the viewer, by their places in the list. `chosen` counts only where there is no map."""
    if explanation.options.per == "class":
        return panels.boxes(explanation, chosen)
    return tuple(
        Box(
            item.prediction.box,
            f"{item.number}  {item.label} {percent(item.score)}",
            i,
            i == chosen,
            tag=_tag(item, tags),
            dashed=item.number == "?",
            corners=item.prediction.corners,
        )
        for i, item in enumerate(listed)
        if item.prediction.box is not None
    )


def _tag(item: Item, tags: str) -> str:
    words = {"number": "", "name": item.label, "score": f"{item.label} {percent(item.score)}"}[tags]
    return f"{item.number}  {words}".strip()


def heats(explanation: Explanation, listed: list[Item]) -> tuple[Map, ...]:
    """A map for each place that has one."""
    if explanation.options.per == "picture":
        return tuple(panels.heat(explanation, i, note="") for i in range(len(explanation.heatmaps)))
    return tuple(
        panels.heat(explanation, i, title=item.title, note=percent(item.score))
        for i, item in zip(range(len(explanation.heatmaps)), listed, strict=False)
    )


def numbers(explanation: Explanation, index: int) -> None:
    """How the map lies to its boxes, in numbers."""
    lies = explanation.box_numbers(index)
    if lies is None:
        if explanation.heatmaps[index].state != "ok":
            st.caption("There is nothing to measure on this map.")
        return
    several = len(explanation.own(index)) > 1
    own = "the boxes" if several else "its box"
    metric(
        f"Heat inside {own}",
        percent(lies.inside),
        f"on {percent(lies.area)} of the picture",
        "The share of the heat inside, and the share of the visible area that it covers.",
    )
    times = f"{lies.ratio:.0f} ×" if lies.ratio >= 10 else f"{lies.ratio:.1f} ×"
    metric(
        "Times its area",
        times,
        "hottest place inside" if lies.hit else "hottest place outside",
        "The share of heat inside by the share of the picture: 1 is what an even map would have. "
        "Whether the hottest place of all lies inside is called the pointing game.",
    )


def table(explanation: Explanation, index: int) -> None:
    """Every number of a map and its boxes, with what it means."""
    if (lies := explanation.box_numbers(index)) is None:
        return
    import pandas as pd

    said = [
        ("heat inside", percent(lies.inside), "share of the heat within its own boxes"),
        ("area", percent(lies.area), "share of the visible area that these boxes cover"),
        ("ratio", f"{lies.ratio:.2f}", "heat inside by area: 1 is what an even map would have"),
        ("hit", "yes" if lies.hit else "no", "whether the hottest place lies inside, the pointing game"),
        ("elsewhere", percent(lies.elsewhere), "share of the heat in boxes of other objects, outside its own"),
        ("entropy", f"{lies.entropy:.2f}", "how scattered the heat is: 0 a single point, 1 the same everywhere"),
    ]
    st.markdown("##### The map and its boxes")
    st.dataframe(pd.DataFrame(said, columns=["number", "value", "meaning"]), hide_index=True)
