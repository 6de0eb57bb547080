"""List a detector's boxes, and the joints of its poses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.viewer import Box
from sightglass.components.views import panels, tables
from sightglass.components.views.charts import NOTHING, metric, without_training
from sightglass.components.widgets import rows
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.tasks.task import Answer
from sightglass.models.adapter import Axis, JointTarget

if TYPE_CHECKING:
    from typing import Any

    from sightglass.components.choices.detection_options import BoxOptions
    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import Map
    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.rendering.marks import Mark
    from sightglass.models.adapter import Joint, Prediction


NONE = "none"
KEY, AXIS = "joint", "number"
"""Keys of the two controls, and their names in the address."""


def choose_joint(explainer: Explainer, *, masks: bool) -> dict[str, Any]:
    """Choose a joint and its number; return its options, none for boxes.

    `masks`: the method hides parts of the picture, and explains boxes alone.
    """
    adapter = explainer.resident.adapter
    if not adapter.joints or masks:
        return {}
    joint = url_state.widget(
        st.selectbox,
        "Joint",
        {NONE: "none: its box", **{name: name for name in adapter.joints}},
        NONE,
        key=KEY,
        name=KEY,
        help="Ask about one number of a joint of the chosen box: red raises it, blue in dashed lines lowers it.",
    )
    if joint == NONE:
        url_state.write(AXIS, None)
        return {}
    axis = url_state.widget(
        st.segmented_control,
        "Its number",
        {axis: axis for axis in get_args(Axis)},
        "x",
        key=f"{KEY}-{AXIS}",
        name=AXIS,
        help="x grows to the right, y downwards. Visibility is how sure the model is that the joint can be seen.",
    )
    return {"joint": f"{joint} {axis}", "part": "signed", "per": "detection"}


def joint_table(explanation: Explanation, prediction: Prediction) -> None:
    """Draw the place and visibility of a detection's joints."""
    if not prediction.joints:
        return
    target = explanation.heatmaps[0].target if explanation.heatmaps else None
    chosen = prediction.joints[target.joint] if isinstance(target, JointTarget) else None
    with st.expander("Joints", expanded=chosen is not None):
        st.caption("x and y in pixels of the picture. A hollow dot is a joint that is probably hidden.")
        tables.table(
            [_row(joint, joint == chosen) for joint in prediction.joints], right=("x", "y", "visible"), height=280
        )


def _row(joint: Joint, chosen: bool) -> dict[str, str]:
    seen = "–" if joint.visibility is None else percent(joint.visibility)
    name = f"{joint.name} ◂" if chosen else joint.name
    return {"joint": name, "x": f"{joint.x:.0f}", "y": f"{joint.y:.0f}", "visible": seen}


MAX_MAPS = 12
"""Boxes whose maps are computed at once; any other's is computed when it is chosen."""
Pair = tuple[int, int]
_WHERE = {
    "own box only": "share of the evidence in its own boxes, where no other box is",
    "shared with other boxes": "share where its own boxes and others overlap",
    "other boxes only": "share in the boxes of other objects, outside its own",
    "outside all boxes": "share outside every box; these four sum to 100 %",
}


@dataclass(frozen=True)
class ListedBox:
    """One row, one rectangle and, if computed, one map: all with the same index in their lists."""

    pair: Pair
    """The candidate and its class, which identify a box."""
    label: str
    score: float
    number: str
    """Its number among the boxes shown, from 1; `?` for a candidate that is not shown."""
    prediction: Prediction
    count: int = 1
    """Boxes that it represents."""

    @property
    def name(self) -> str:
        """Return `person 4`, or `? person` of a hidden candidate."""
        return f"? {self.label}" if self.number == "?" else f"{self.label} {self.number}".strip()

    @property
    def title(self) -> str:
        if self.count > 1:
            return f"{self.count} × {self.label}"
        return f"{self.number}  {self.label}".strip()


@dataclass
class MissedPlace:
    """A place in the picture where a person missed a box."""

    of: tuple[str, str]
    """SHA-256 of the picture, and the id of the model."""
    where: tuple[float, float, float, float]
    """xyxy in whole pixels, as the address has them; a point twice."""
    label: str | None = None
    """The class that is missing; None: any."""
    fresh: bool = True
    """Whether its candidate is still to be chosen in the list."""


@dataclass
class Lookup:
    """The session's question about a place, and the last question in the viewer."""

    place: MissedPlace | None = None
    read: bool = False
    """Whether the address was read."""
    question: tuple[float, float, float, float] | None = None


def first(choices: Choices, explainer: Explainer, request: BoxOptions) -> Explanation:
    """Return all boxes, with their maps if the method is quick."""
    if explain_job.is_slow(choices.method):
        return explain_job.predict(choices, explainer, **request.options)
    explanation = explain_job.explain(choices, explainer, top_k=MAX_MAPS, **request.options)
    assert explanation is not None  # only slow methods run in a thread
    return explanation


def quick_method(choices: Choices, explainer: Explainer) -> str:
    """Return the chosen method, or the model's default if slow."""
    if not explain_job.is_slow(choices.method):
        return choices.method
    return "gradcam" if explain_job.is_slow(explainer.model.method) else explainer.model.method


def explain(
    choices: Choices,
    explainer: Explainer,
    request: BoxOptions,
    base: Explanation,
    pair: Pair | None,
    candidate: Pair | None,
) -> Explanation | None:
    """Return the maps of best, chosen and candidate boxes; None while running."""
    pairs = [pair_of(p) for p in base.predictions]
    if explain_job.is_slow(choices.method):
        known = [*pairs, candidate] if candidate else pairs
        if not known:
            return base
        chosen = pair if pair in known else next((p for p in pairs if pair and p[1] == pair[1]), known[0])
        target = {"detection": (chosen,), "class": (base.evidence.resident.adapter.labels[chosen[1]],), "picture": ()}
        return explain_job.explain(choices, explainer, targets=target[request.per], **request.options)
    if request.per == "picture":
        return base
    # A class is known by its index alone.
    known = pairs if request.per == "detection" else list(dict.fromkeys((-1, kind) for _, kind in pairs))
    best = known[:MAX_MAPS]
    extra = [p for p in (pair, candidate) if p is not None and p not in best and (p in known or p == candidate)]
    if not extra:
        return base
    mapped = [*best, *dict.fromkeys(extra)]
    targets = tuple(mapped) if request.per == "detection" else tuple(kind for _, kind in mapped)
    return explain_job.explain(choices, explainer, top_k=MAX_MAPS, targets=targets, **request.options)


def items(explanation: Explanation, candidate: Prediction | None = None) -> list[ListedBox]:
    """Return all choices: mapped boxes first, then the rest.

    `candidate`: what was looked up; it can be chosen before it has a map.
    """
    per, predictions = explanation.options.per, explanation.predictions
    if per == "picture":
        return [_item(p, str(i)) for i, p in enumerate(predictions, 1)]
    if per == "class":
        kinds = [heatmap.target.index for heatmap in explanation.heatmaps]
        # Every class once: those with a map in the order of the maps, then the rest.
        predicted = [p.index for p in predictions]
        once = dict.fromkeys([kind for kind in kinds if kind in predicted] + predicted)
        return [_kind(explanation, kind) for kind in once]
    numbers = {pair_of(p): str(i) for i, p in enumerate(predictions, 1)}
    listed = []
    for i in range(len(explanation.heatmaps)):
        boxes = explanation.own(i)
        if boxes:
            listed.append(_item(boxes[0], numbers.get(pair_of(boxes[0]), "?")))
    mapped, rest = {item.pair for item in listed}, [*predictions]
    if candidate is not None and pair_of(candidate) not in numbers:
        rest.append(candidate)
    return listed + [_item(p, numbers.get(pair_of(p), "?")) for p in rest if pair_of(p) not in mapped]


def _item(prediction: Prediction, number: str) -> ListedBox:
    return ListedBox(pair_of(prediction), prediction.label, prediction.score, number, prediction)


def _kind(explanation: Explanation, index: int) -> ListedBox:
    """Return all boxes of a class as one item."""
    boxes = [p for p in explanation.predictions if p.index == index]
    best = max(boxes, key=lambda p: p.score)
    return ListedBox((-1, index), best.label, best.score, "", best, len(boxes))


def pair_of(prediction: Prediction) -> Pair:
    """Return a box's identity: its candidate and its class."""
    return (-1 if prediction.anchor is None else prediction.anchor, prediction.index)


def locate_box(listed: list[ListedBox], pair: Pair | None) -> int:
    """Return the chosen box's index, else its class's first, else 0."""
    exact = [i for i, item in enumerate(listed) if item.pair == pair]
    alike = [i for i, item in enumerate(listed) if pair is not None and item.pair[1] == pair[1]]
    return next(iter([*exact, *alike]), 0)


def arrive(explanation: Explanation) -> None:
    """Choose the best box of a new picture, or the address's."""
    chosen = state.of(state.ChosenBox)
    of = (explanation.image.sha256, explanation.model.id)
    if chosen.of == of:
        return
    text = st.query_params.get("box", "") if chosen.of is None else ""
    number, predictions = int(text[:9]) if text.isdecimal() else 0, explanation.predictions
    chosen.pair = pair_of(predictions[number - 1]) if 0 < number <= len(predictions) else None
    chosen.of = of


def choose(pair: Pair | None, *, new_list: bool = False) -> None:
    """Remember the chosen box. `new_list`: start a new list at it."""
    chosen = state.of(state.ChosenBox)
    chosen.pair = pair
    chosen.generation += new_list


def keep(listed: list[ListedBox], chosen: int) -> None:
    """Write the chosen box's number to the address, except the first's."""
    number = listed[chosen].number if listed else ""
    first = None if any(item.number == "?" for item in listed) else "1"
    url_state.write("box", number if number.isdecimal() else None, first)


def listing(explanation: Explanation, listed: list[ListedBox], chosen: int) -> int:
    """Draw the list and return the chosen row's index."""
    content = repr([(item.pair, item.number, item.score) for item in listed])
    digest = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
    # A choice that the page made itself is another list, which starts there.
    generation = state.of(state.ChosenBox).generation
    key = f"boxes-{generation}-{explanation.image.sha256[:12]}-{explanation.model.id}-{digest}"
    return rows([Answer(item.title, percent(item.score), item.score) for item in listed], key=key, chosen=chosen)


def marks(explanation: Explanation, listed: list[ListedBox], tags: str, chosen: int | None = None) -> tuple[Box, ...]:
    """Return the viewer's rectangles in list order; `chosen`: only without maps."""
    if explanation.options.per == "class":
        return panels.boxes(explanation, chosen)
    return tuple(
        Box(
            item.prediction.box,
            f"{item.number}  {item.label} {percent(item.score)}",
            i,
            i == chosen,
            tag=_tag(item, tags),
            marks=_marks(explanation, item),
        )
        for i, item in enumerate(listed)
        if item.prediction.box is not None
    )


def _marks(explanation: Explanation, item: ListedBox) -> tuple[Mark, ...]:
    """Return a box's marks; a hidden candidate's are dashed."""
    drawn = explanation.task.marks(explanation, item.prediction)
    if item.number != "?":
        return drawn
    return tuple(replace(mark, hollow=True) if mark.kind == "polygon" else mark for mark in drawn)


def _tag(item: ListedBox, tags: str) -> str:
    words = {"number": "", "name": item.label, "score": f"{item.label} {percent(item.score)}"}[tags]
    return f"{item.number}  {words}".strip()


def heats(explanation: Explanation, listed: list[ListedBox]) -> tuple[Map, ...]:
    """Return the maps, in the order of the list."""
    if explanation.options.per == "picture":
        return tuple(panels.heat(explanation, i, note="") for i in range(len(explanation.heatmaps)))
    return tuple(
        panels.heat(explanation, i, title=item.title, note=_note(explanation, i, item))
        for i, item in zip(range(len(explanation.heatmaps)), listed, strict=False)
    )


def _note(explanation: Explanation, index: int, item: ListedBox) -> str:
    """Return a map's note: its joint's number or box's score."""
    number = explanation.task.number(explanation, index)
    return f"{explanation.heatmaps[index].target.label} {number}" if number else percent(item.score)


def numbers(explanation: Explanation, index: int) -> None:
    """Draw the main numbers of the map and its boxes."""
    measured = explanation.box_numbers(index)
    if measured is None:
        if explanation.heatmaps[index].state != "ok":
            st.caption(NOTHING)
        return
    several = len(explanation.own(index)) > 1
    place = "the boxes" if several else "its box"
    metric(
        f"Evidence inside {place}",
        measured.printed_inside,
        f"on {percent(measured.area)} of the picture{without_training(explanation, index)}",
        "The share of the evidence inside, also where other boxes overlap. Below it, the box's share of the "
        "visible area and, once tested, what a map with random weights has inside.",
    )
    metric(
        "Concentration",
        _times(measured.ratio),
        f"{'denser than' if measured.ratio > 1 else 'as dense as'} an even spread",
        "Share of evidence inside ÷ share of area; 1 means spread evenly.",
    )


def table(explanation: Explanation, index: int) -> None:
    """Draw all numbers of the map and its boxes, with meanings."""
    if (measured := explanation.box_numbers(index)) is None:
        return
    listed = [
        *((name.capitalize(), f"{share}{NBSP}%", _WHERE[name]) for name, share in measured.printed.items()),
        ("Area of its boxes", percent(measured.area), "share of the visible area that its own boxes cover"),
        (
            "Concentration",
            _times(measured.ratio),
            "evidence in its own boxes divided by their area: 1 is evenly spread",
        ),
        (
            "Strongest place inside",
            "yes" if measured.hit else "no",
            "whether the strongest place is inside (pointing game)",
        ),
        (
            "Scatter inside",
            f"{measured.entropy:.2f}",
            "how scattered the evidence is: 0 a single point, 1 the same everywhere",
        ),
    ]
    st.markdown("### The map and its boxes")
    tables.table([dict(zip(("number", "value", "meaning"), row, strict=True)) for row in listed], right=("value",))


def _times(ratio: float) -> str:
    return f"{ratio:.{0 if ratio >= 10 else 1}f}{NBSP}times"
