"""A frame of an explained clip with its own map: the viewer and the instruments, as for a picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Cancelled
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.explain.whatif import touch
from sightglass.ui.choices import controls
from sightglass.ui.instruments import instruments, numbers_of
from sightglass.ui.session import page, state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.viewer import Box, Pane, Rect
from sightglass.ui.views import panels
from sightglass.video.timeline import clock, find_objects, number_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explanation
    from sightglass.pages.video.job import ClipPlan

HEIGHT = 490
"""Height of the frame in a window of 900 pixels: what is said of it is in sight below it."""
MAX_MAPS = 12
"""Boxes of a frame that have a map."""


def open_frame(plan: ClipPlan, seconds: float) -> Image:
    """Return the clip's own frame; `seconds`: of the drawn clip. Raises ImageProblem."""
    at = plan.settings.start + seconds
    # Opened anew, since reading changes it and the run may be reading.
    pixels = type(plan.clip)(plan.clip.path, plan.clip.name).frame_at(at).pixels
    return Image(pixels, f"{plan.clip.name.rpartition('.')[0]} {clock(at, 2).replace(':', '.')} s.png")


def draw(plan: ClipPlan, seconds: float, picture: DeltaGenerator, beside: DeltaGenerator) -> None:
    """Draw a frame with its map, and its instruments beside it; `seconds`: of the drawn clip."""
    with picture, page.report_problems():
        depends_on = plan.clip.path, plan.settings.start, seconds
        image = state.latest("video-still", depends_on, partial(open_frame, plan, seconds))
        explanation = _explain(plan, image)
        look: dict[str, Any] = {"key": "video-still", "height": HEIGHT}
        if explanation is None or not explanation.heatmaps:
            panels.draw_viewer(image, [panels.plain_pane(image)], **look)
            return
        count = len(explanation.heatmaps)
        maps = tuple(panels.to_map(explanation, i, half=False) for i in range(count))
        objects = find_objects(plan.folder, plan.settings.start + seconds)
        look |= {"marks": _boxes(explanation, objects), "touch": touch.register(explanation)}
        view = panels.draw_viewer(image, [Pane(maps=maps)], beside=True, **look)
        with beside:
            instruments(view, [numbers_of(explanation, i) for i in range(count)])


def _explain(plan: ClipPlan, image: Image) -> Explanation | None:
    """Explain a frame as the clip was; None while no map is finished."""
    explainer = controls.load(plan.model)
    options = {name: value for name, value in plan.options.items() if name != "method"}
    if task_of(explainer.model).explains("detection"):
        options |= {"per": "detection", "top_k": MAX_MAPS}
    else:
        # A clip has one map in each frame, too.
        options["top_k"] = 1
    method = plan.options.get("method") or explainer.loaded.usual_method()
    try:
        return explain_job.explain(state.Choices(image, explainer.model, method, options), explainer)
    except Cancelled:
        explain_job.restart_button()
    return None


def _boxes(explanation: Explanation, objects: Mapping[int, Rect]) -> list[Box]:
    """Return the boxes that have a map: a click on one chooses it.

    `objects`: boxes of the clip's objects, whose numbers they have.
    """
    answers = [(i, answer) for i in range(len(explanation.heatmaps)) for answer in explanation.own(i)]
    located = [(i, answer, answer.box) for i, answer in answers if answer.box is not None]
    numbers = number_boxes([box for _, _, box in located], objects)
    boxes = []
    for place, (i, answer, box) in enumerate(located):
        tag = str(numbers.get(place, ""))
        label = f"{tag} {answer.label} {percent(answer.score)}".strip()
        marks = explanation.task.wording.marks(explanation, answer)
        boxes.append(Box(box, label, i, tag=tag or answer.label, marks=marks))
    return boxes
