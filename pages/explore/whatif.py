"""Edit the picture, and compare the answers before and after."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import without_emphasis
from sightglass.explain.picture import image as picture_image
from sightglass.explain.tasks import describe_score
from sightglass.explain.tasks.describe import lacks_map
from sightglass.explain.tasks.detect import assign
from sightglass.explain.tasks.wording import Answer
from sightglass.explain.whatif import edits
from sightglass.report import offers
from sightglass.report import views as report_views
from sightglass.report.offers import Files
from sightglass.ui import painter, saving, widgets
from sightglass.ui.choices import controls
from sightglass.ui.instruments import instruments, numbers_of
from sightglass.ui.session import page, url_state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Pane, ViewSettings
from sightglass.ui.views import panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.common.files import Json
    from sightglass.explain import Explainer, Explanation, Image
    from sightglass.explain.tasks import Task
    from sightglass.explain.tasks.parts import Change
    from sightglass.models.spec import ModelSpec
    from sightglass.ui.session.state import Choices

HEIGHT = 410
"""Height of either picture in a window of 900 pixels, as in painter.css: the actions below stay visible."""


def is_open(image: Image) -> bool:
    """Return whether a picture is edited in place of the map."""
    current = painter.painting(image)
    current.open = current.open or bool(url_state.read_once("edit"))
    url_state.set_url("edit", int(current.open), 0)
    return current.open


def open_studio(image: Image, edit: Json) -> None:
    """Run the page again with a picture open to be edited, beginning with what covers it, if anything."""
    current = painter.painting(image)
    current.open, current.edit = True, edit if edits.parse(edit).marks else current.edit
    st.rerun()


def draw(choices: Choices, explainer: Explainer, _: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the picture to be edited in place of the map."""
    # Use the default method if it is fast enough to follow a brush.
    default = explainer.model.method
    if not METHODS[choices.method].quick and METHODS[default].quick and explainer.loaded.gradients:
        choices = replace(choices, method=default)
    # An edit is asked about all boxes and whole maps.
    options = {name: value for name, value in choices.options.items() if name not in ("classes", "within")}
    choices = replace(choices, options=options)
    with main:
        _studio(choices, explainer)


@st.fragment
def _studio(choices: Choices, explainer: Explainer) -> None:
    """Draw the parts updated by each stroke, in a fragment."""
    title = st.container(key="whatif-headline")
    left, middle, right = st.columns([3, 2, 3], gap="medium")
    below = st.container()
    current = painter.painting(choices.image)
    try:
        with right:
            run = partial(explain_job.explain, wait=True) if METHODS[choices.method].quick else explain_job.predict
            original = run(choices, explainer, method=choices.method)
        assert original is not None  # waited for
        _draw_answer(choices, explainer, original, current, _Places(title, middle, right, below))
    except Exception as failure:
        with title:
            page.show_failure(failure, "an edit failed")
    finally:
        # Also after an error: the next stroke may fix it.
        with left:
            painter.painter(choices.image)


class _Places(NamedTuple):
    """Where the parts of the studio are drawn."""

    title: DeltaGenerator
    answers: DeltaGenerator
    map: DeltaGenerator
    actions: DeltaGenerator


def _draw_answer(
    choices: Choices, explainer: Explainer, original: Explanation, current: painter.Painting, places: _Places
) -> None:
    """Draw the edited picture's numbers first, then its slower map."""
    edit = edits.parse(current.edit)
    image, after = edits.edited(choices.image, edit).image, original
    if image.sha256 != choices.image.sha256:
        # Of the same words, where a model answers in some.
        more = {name: getattr(original.options, name) for name in ("prompt", "answer")}
        after = explain_job.predict(replace(choices, image=image), explainer, method=choices.method, **more)
    differences = edits.changes(original, after)
    with places.answers:
        help = "The upper bar is before the edit, the lower one after it." if differences else None
        st.markdown("### Answers", help=help)
        if differences:
            answers, before = zip(*(_row(original.task, change, original.model) for change in differences), strict=True)
            widgets.rows(answers, key="whatif-answers", before=before)
        else:
            st.caption("No box has a high enough score, in either picture.")
    sentence = edits.sentence(original, differences, edit)
    with places.title:
        st.markdown(f"## {escape(controls.add_warning(choices, sentence))}")
    mapped = _with_map(original, after)
    with places.map:
        _draw_map(original, mapped, differences, lacks=("your edit",) if edit.marks else ())
    slide = partial(report_views.change_view, original, mapped, differences, without_emphasis(sentence))
    with places.actions.container(horizontal=True, vertical_alignment="center"):
        if st.button("Back to the map", icon=":material/undo:", help="The edit stays for when you come back."):
            current.open = False
            st.rerun()
        draft = (lambda _: slide()) if original.heatmaps else None
        saved: list[tuple[Explanation, Json]] = [(mapped, {})] if mapped.heatmaps else []
        saving.save_and_export("whatif", partial(_list_files, mapped), saved=saved, slide=draft)


def _row(task: Task, change: Change, model: ModelSpec) -> tuple[Answer, float | None]:
    """Return an answer's row, `62 % → 21 % (−41)`, and its bar before the edit."""
    unit, scores = model.unit_of(change.label), (change.before, change.after)
    before, after = ("–" if score is None else task.wording.text(score, unit) for score in scores)
    was, now = (task.wording.bar(score or 0.0) for score in scores)
    return Answer(change.label, f"{before} → {after} ({task.wording.moved(change, unit)})", now), was


def _with_map(original: Explanation, after: Explanation) -> Explanation:
    """Return the edit's explanation with the original first answer's map, if any."""
    if not METHODS[after.options.method or after.model.method].quick:
        return after
    if not (answers := original.task.decoder.list_compared(original.predictions)):
        return after.with_options(targets=())
    first = answers[0].index
    # A segmentation may have no pixel of the class any more.
    if not original.task.decoder.has_answer(after, first):
        return after
    if not original.task.explains("detection"):
        return after.with_options(targets=(first,))
    index = assign(original.predictions, after.predictions).get(0)
    return after if index is None else after.with_options(per="detection", targets=(index,))


def _draw_map(
    original: Explanation, after: Explanation, differences: Sequence[Change], *, lacks: tuple[str, ...]
) -> None:
    """Draw the edited picture under its map, or say why it has none."""
    if after.heatmaps:
        label = after.heatmaps[0].target.label
        score = next((change.after for change in differences if change.label == label), None)
        plain = score is None or original.task.explains("detection")
        note = None if plain else describe_score(score or 0.0, original.model, label)
        panel, marks = Pane(maps=(panels.to_map(after, 0, note=note),)), panels.boxes(after, 0)
    else:
        panel, marks = panels.plain_pane(after.image), panels.boxes(after)
    view = panels.draw_viewer(after.image, [panel], key="viewer-whatif", height=HEIGHT, marks=marks, lacks=lacks)
    if after.heatmaps:
        instruments(view, [numbers_of(after, 0)])
        return
    if not original.evidence.loaded.gradients:
        why = lacks_map(original.evidence.loaded, ", and other methods are too slow to follow a brush")
        st.caption(f"No map: this model {why}.")
    elif original.task.unmapped and (answers := original.task.decoder.list_compared(original.predictions)):
        st.caption(escape(original.task.unmapped.format(label=answers[0].label)))


def _list_files(edited: Explanation, look: ViewSettings) -> list[Files]:
    """Return the export files: the picture alone and its map's."""
    image = edited.image
    name = f"{image.name.rsplit('.', 1)[0]}.png"
    about = "The picture as the model was given it, without a map."
    alone = Files("Edited picture", about, [("PNG", name, lambda: picture_image.to_png(image.pixels))])
    return [alone, *(offers.map_downloads(edited, 0, look) if edited.heatmaps else ())]
