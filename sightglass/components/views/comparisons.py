"""Show several maps at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.choices import model_picker, sidebar
from sightglass.components.choices.model_picker import add_title, short_names
from sightglass.components.pairs import pairs
from sightglass.components.session import page, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import capital, escape, sentence
from sightglass.components.viewer import Box, Pane
from sightglass.components.views import detections, panels
from sightglass.explain.comparison.detections import around, common, one_scale, side, strip
from sightglass.explain.evidence.layers import stages
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import NBSP, listing, percent, plural
from sightglass.explain.rendering.render import share_difference
from sightglass.explain.tasks import describe_score
from sightglass.export import similarity_files

if TYPE_CHECKING:
    from sightglass.components.choices.detection_options import BoxOptions
    from sightglass.components.session.state import Choices
    from sightglass.components.views.detections import ListedBox
    from sightglass.explain import Explainer, Explanation, Image
    from sightglass.explain.comparison.detections import Side
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.models.adapter import Prediction
    from sightglass.models.spec import ModelSpec


MAX_MODELS = 3


def every_box(explanation: Explanation, listed: list[ListedBox]) -> None:
    """Draw all maps with their own boxes, on one scale if chosen."""
    panes = []
    for i in range(len(explanation.heatmaps)):
        whole = explanation.options.per == "picture"
        title, note = ("The whole picture", "") if whole else (listed[i].title, percent(listed[i].score))
        boxes = panels.own_boxes(explanation, i)
        panes.append(Pane(maps=(panels.heat(explanation, i, title=title, note=note),), boxes=boxes))
    if not panes:
        panels.show(explanation.image, [panels.plain(explanation.image)], key="viewer-sheet")
        return
    columns = _columns(explanation.image, len(panes), 2 if len(panes) <= 4 else 3)
    height = 268 if len(panes) > 3 else 440
    files = not explanation.finished
    view = panels.show(explanation.image, panes, key="viewer-sheet", height=height, columns=columns, files=files)
    panels.describe(view, [(explanation, i) for i in range(len(panes))], key="viewer-sheet-words")
    rest = len(listed) - len(panes) if explanation.options.per == "detection" else 0
    more = f" {rest} weaker ones have no map yet: choose one in the list." if rest > 0 else ""
    st.caption(
        "Each map is brightest at its own hottest place. The viewer's settings have a shared scale, on which maps with "
        f"little evidence are pale.{more}"
    )


@dataclass(frozen=True)
class LensResult:
    """What a lens that compares maps has drawn."""

    heading: str = ""
    """The page's; empty: as without the lens."""
    maps: tuple[tuple[str, Explanation, int], ...] = ()
    """The maps that can be tested, as the panel of tests takes them, in the order of the panels."""


def every_layer(choices: Choices, explainer: Explainer, request: BoxOptions, item: ListedBox) -> LensResult:
    """Draw a box's map at every stage; title the clearest one."""
    drawn = {stage.path: stage for stage in stages(explainer.resident)}
    if not drawn:
        st.info(f"{explainer.model.id} exposes no internals: there are no layers to show.", icon=":material/layers:")
        return LensResult()
    method = detections.quick_method(choices, explainer)
    if method != choices.method:
        name = METHODS[choices.method].name
        st.caption(f"{name} would run the model again for each map: this is {METHODS[method].name} instead.")
    chosen = replace(choices, method=method, options=choices.options | {"layers": tuple(drawn)})
    target = {"detection": (item.pair,), "class": (item.label,), "picture": ()}[request.per]
    explanation = explain_job.explain(chosen, explainer, targets=target, **request.options)
    assert explanation is not None
    boxes = panels.own_boxes(explanation, 0)
    name, within = _of(item, request.per, len(boxes))
    maps, drawn_maps = strip(explanation), []
    # What a map shows that is known not to depend on the model; empty for others.
    seals = {heatmap.path: heatmap.explanation.known_checks(0) for heatmap in maps}
    shows = {path: "" if checks is None else checks.shows for path, checks in seals.items()}
    ends = dict(zip([heatmap.path for heatmap in maps], tails([heatmap.path for heatmap in maps]), strict=True))
    titles = [f"{capital(drawn[heatmap.path].part)} {ends[heatmap.path]}" for heatmap in maps]
    for entry, title in zip(maps, titles, strict=True):
        stage = drawn[entry.path]
        cells = f", cells of {stage.stride:g} px" if stage.stride else ""
        words = entry.heatmap.state if entry.inside is None else f"{percent(entry.inside)} of the evidence in {within}."
        if known := shows[entry.path]:
            words = f"the map shows {known}, not what the model learnt."
        drawn_maps.append(
            panels.layer(
                explanation,
                entry.heatmap,
                title=title,
                note="–" if entry.inside is None else percent(entry.inside),
                text=f"**{entry.path}**, {stage.kind}{cells}. {capital(name)}: {words}",
            )
        )
    image, panes = explanation.image, [Pane(maps=(each,), boxes=boxes) for each in drawn_maps]
    above, below = st.container(), st.container()
    if item.prediction.box is not None and request.per == "detection":
        with below:
            close = _close_up()
        if close:
            image, panes = panels.cut(image, panes, around(item.prediction.box, (image.width, image.height)))
    with above:
        panels.show(image, panes, key="viewer-layers", height=320, columns=_columns(image, len(drawn_maps), 3) or 4)
    pairs = zip(maps, titles, strict=True)
    tested = tuple((title, entry.explanation, 0) for entry, title in pairs if entry.heatmap.state == "ok")
    measured = [heatmap for heatmap in maps if heatmap.inside is not None]
    if not measured:
        return LensResult("", tested)
    # A map that shows the box whatever the weights would win.
    learnt = [entry for entry in measured if not shows[entry.path]]
    best = max(learnt or measured, key=lambda entry: entry.inside or 0.0)
    least = min(measured, key=lambda entry: entry.inside or 0.0)
    st.caption(
        f"Maps of {name} from the first layer to the last, with the share of the evidence in {within}. It is lowest "
        f"at {drawn[least.path].part} {ends[least.path]}: {percent(least.inside or 0.0)}. Zooming one map zooms all."
    )
    verb = "are" if request.per == "class" and len(boxes) > 1 else "is"
    where = f"{drawn[best.path].part} {ends[best.path]}"
    if not learnt:
        return LensResult(f"{capital(name)}: no map here shows what the model learnt.", tested)
    words = f"{capital(name)} {verb} clearest at {where}: {percent(best.inside or 0.0)} inside {within}."
    if other := len(measured) - len(learnt):
        words += f" {plural(other, 'map')} would be nearly the same with random weights."
    return LensResult(words, tested)


def _of(item: ListedBox, per: str, boxes: int) -> tuple[str, str]:
    """Name the maps' target and the boxes of their measures."""
    if per == "picture":
        return "the whole picture", "its box" if boxes == 1 else "the boxes"
    if per == "class" and boxes > 1:
        return f"the {boxes} boxes of {item.label}", "them"
    return item.name, "its box"


def tails(paths: list[str]) -> list[str]:
    """Return the distinguishing ends of layers' paths."""
    parts = [path.split(".") for path in paths]

    def tail(whole: list[str], least: int = 1) -> list[str]:
        ends = (whole[-n:] for n in range(least, len(whole) + 1))
        return next((end for end in ends if [part[-len(end) :] for part in parts].count(end) == 1), whole)

    short = [tail(whole) for whole in parts]
    if not all(end[-1].isdecimal() and len(end) == 1 for end in short):
        short = [tail(whole, 2) if end[0].isdecimal() else end for whole, end in zip(parts, short, strict=True)]
    return [".".join(end) for end in short]


def every_size(choices: Choices, explainer: Explainer, request: BoxOptions, wanted: Prediction) -> LensResult:
    """Draw the same object in several models and their difference.

    The heading says which models find it.
    """
    models = sizes(explainer.model)
    if len(models) < 2:
        st.info(
            f"{explainer.model.name} has no other size on this machine. Add the weights of one to see the same object "
            "in both, or compare it with other models.",
            icon=":material/straighten:",
        )
        st.page_link(page.script("compare"), label="Compare models", icon=":material/compare:")
        panels.show(choices.image, [panels.plain(choices.image)], key="viewer-sizes")
        return LensResult()
    method = detections.quick_method(choices, explainer)
    names, sides, problems = [], [], []
    for spec, name in zip(models, short_names(models), strict=True):
        try:
            explanation = _other(choices, spec, request, method)
            sides.append(side(explanation, wanted))
            names.append(add_title(name))
        except Problem as problem:
            problems.append(str(problem))
    for words in problems:
        st.warning(sentence(words), icon=":material/warning:")
    if not sides:
        return LensResult()
    alike = one_scale(sides) if all(side.explanation.heatmaps for side in sides) else None
    above, below = st.container(), st.container()
    with below, st.container(horizontal=True):
        close = _close_up()
        together = alike is not None and len(sides) > 1 and _together()
    shared = alike if together else None
    panes = [_panel(item, name, i, shared) for i, (item, name) in enumerate(zip(sides, names, strict=True))]
    pair = [i for i, item in enumerate(sides) if item.prediction is not None and item.explanation.heatmaps]
    if len(pair) > 1:
        panes.append(_difference(sides[pair[0]], sides[pair[-1]], names[pair[0]], names[pair[-1]]))
    image = choices.image
    if close and wanted.box is not None:
        image, panes = panels.cut(image, panes, around(wanted.box, (image.width, image.height)))
    with above:
        columns = _columns(image, len(panes), 2)
        view = panels.show(image, panes, key="viewer-sizes", height=400, columns=columns)
        described = [(side.explanation, 0) for side in sides if side.explanation.heatmaps]
        panels.describe(view, described, key="viewer-sizes-words")
    for item, name in zip(sides, names, strict=True):
        if item.prediction is None or item.missing:
            words = item.missing.words if item.missing else "It has no candidate there."
            st.markdown(f":material/search: **{escape(name)}**: {escape(words)}")
    if alike is None and len(sides) > 1:
        st.caption("Their layers differ in size, so each map is on its own scale.")
    words = verdict([side.prediction is not None and not side.missing for side in sides], names, wanted.label)
    named = zip(names, sides, strict=True)
    return LensResult(words, tuple((name, item.explanation, 0) for name, item in named if item.explanation.heatmaps))


def _columns(image: Image, count: int, wide: int) -> int | None:
    """Return the number of panels in a row, for wide pictures."""
    return min(count, wide) if image.width > 1.2 * image.height else None


def _close_up() -> bool:
    help = "Show only the object and its surroundings. All numbers are of the whole picture either way."
    return url_state.widget(st.toggle, "Close-up", None, True, key="close", name="close", help=help)


def _together() -> bool:
    help = (
        "1 is the hottest place of all maps, and a map with lower raw values looks pale. Off: each map on its own "
        "scale. Raw values of different models have no common unit: paler does not mean less confident."
    )
    return url_state.widget(st.toggle, "One scale", None, True, key="together", name="together", help=help)


def sizes(chosen: ModelSpec) -> list[ModelSpec]:
    """Return the local sizes of a detector's family, the chosen one included."""
    family = [spec for spec in model_picker.present(chosen.task) if spec.family == chosen.family and spec.size]
    if chosen not in family:
        return [chosen]
    return family[:MAX_MODELS] if chosen in family[:MAX_MODELS] else [*family[: MAX_MODELS - 1], chosen]


def _other(choices: Choices, spec: ModelSpec, request: BoxOptions, method: str) -> Explanation:
    explainer = sidebar.load(spec.id)
    options = request.options | {"per": "detection", "classes": (), "top_k": 1}
    if options["part"] not in explainer.resident.adapter.parts:
        options["part"] = "class"
    explanation = explain_job.explain(sidebar.fitting(choices, explainer, method), explainer, **options)
    assert explanation is not None
    return explanation


def _panel(item: Side, name: str, index: int, shared: tuple[Heatmap, ...] | None) -> Pane:
    prediction = item.prediction
    if prediction is None or not item.explanation.heatmaps:
        return Pane(title=name, note="no candidate")
    label = f"{prediction.label} {describe_score(prediction.score, item.explanation.model, prediction.label)}"
    note = label if item.missing is None or item.missing.reason.kind == "shown" else f"misses it, {label}"
    heat = panels.heat(item.explanation, 0, title=name, note=note)
    if shared is not None:
        heat = replace(heat, values=shared[index].content, raw=shared[index].ends, shared=None)
    missed = note.startswith("misses")
    marks = item.explanation.task.marks(item.explanation, prediction)
    if missed:
        marks = tuple(replace(mark, hollow=True) for mark in marks)
    boxes = (Box(prediction.box, label, marks=marks),) if prediction.box is not None else ()
    return Pane(maps=(heat,), boxes=boxes)


def _difference(first: Side, second: Side, left: str, right: str) -> Pane:
    a, b, seen = common(first, second)
    return Pane(
        maps=(panels.difference(share_difference(a, b), seen, (left, right), sides=apart(left, right)),), boxes=()
    )


def apart(one: str, other: str) -> tuple[str, str]:
    """Return the distinguishing ends of two models' names: `11n` and `26n`."""
    words = {word.start() for name in (one, other) for word in re.finditer(r"\d+[^\W\d_]*|[^\W\d_]+", name)}
    shared = (at for at in words if one[:at] == other[:at] and at < min(len(one), len(other)))
    at = max(shared, default=0)
    return one[at:], other[at:]


def verdict(shown: list[bool], names: list[str], label: str) -> str:
    """Name the models with the object, in one sentence."""
    finders = [name for name, seen in zip(names, shown, strict=True) if seen]
    missed = [name for name, seen in zip(names, shown, strict=True) if not seen]
    if not missed:
        return f"{'Both' if len(finders) == 2 else 'All'} find this {label}."
    if not finders:
        return f"None of them finds this {label}."
    finds, do = "finds" if len(finders) == 1 else "find", "does" if len(missed) == 1 else "do"
    return f"{listing(finders)} {finds} this {label}; {listing(missed)} {do} not."


OF = {"cosine": "Similarity and difference", "product": "What the score is made of"}


def similarity_maps(found: Similarity, *, key: str) -> None:
    """Draw both pictures' maps and describe similar and different places."""
    sentences = similarity_files.places(found)
    line = "Point at a place in one picture: a line joins it to the best match in the other."
    pairs(found, (sentences[0], sentences[-1]), line if found.state == "ok" else sentences[0], key=key)
    for words in sentences if found.state == "ok" else ():
        # Names of files are in them, and a number stays with its sign.
        st.caption(escape(words).replace(" %", f"{NBSP}%"))


def similarity_meaning(found: Similarity, context: Context | None, *more: str) -> None:
    """Draw the reference scores, `more` sentences, and how the maps were made."""
    st.markdown("### What the number means")
    for words in (*([context.words] if context is not None else ()), *more):
        st.caption(escape(words))
    layer = escape(", ".join(found.layers))
    rows, columns = found.matches.query.shape
    st.caption(
        f"{OF[found.of]}, by {METHODS[found.method].name} at {layer}: {rows} by {columns} cells. Both maps share one "
        "scale."
    )
