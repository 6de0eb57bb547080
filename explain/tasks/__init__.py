"""The tasks: everything specific to a kind of answer.

All that is not here is the same for every model: code elsewhere asks a task for what it needs, and not which one it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sightglass.explain.tasks.detect import BoxDecoder, BoxScorer, BoxWording, PoseDecoder, PoseWording
from sightglass.explain.tasks.embed import VectorDecoder, VectorScorer, VectorWording
from sightglass.explain.tasks.regress import DepthDecoder, DepthScorer, DepthWording, NumberScorer, NumberWording
from sightglass.explain.tasks.segment import PixelDecoder, PixelScorer, PixelWording
from sightglass.explain.tasks.task import Task
from sightglass.models.adapter import Adapter
from sightglass.models.spec import ModelSpec

_CLASSIFY = Task(id="classify", title="Classify", competes=True, meaning_of_row="one class of many")
_DETECT = Task(
    id="detect",
    title="Detect",
    decoder=BoxDecoder(),
    scorer=BoxScorer(),
    wording=BoxWording(),
    granularities=("class", "detection", "picture"),
    evaluation="boxes",
    verb="detect",
    gives="draws boxes",
    ranked=False,
    drawn="detect",
    masks=800,
    blind={"method": "drise"},
    independent=("which object, not which part of it", "shows which object, not which part of it or why"),
    hint="; a lower --score-thr shows more",
    unmapped="No map: the {label} that the model was surest of is not found in the edited picture.",
)
_REGRESS = Task(
    id="regress",
    title="Measure",
    scorer=NumberScorer(),
    wording=NumberWording(),
    quantity="number",
    evaluation="numbers",
    value="number",
    heading="Number",
    gives="gives numbers",
    sure=False,
    scored=False,
    meaning_of_row="a number, such as an age or an angle",
)
_SEGMENT = Task(
    id="segment",
    title="Segment",
    decoder=PixelDecoder(),
    scorer=PixelScorer(),
    wording=PixelWording(),
    granularities=("class", "region", "pixel"),
    evaluation="areas",
    value="share of the picture",
    heading="Share of the picture",
    verb="segment",
    gives="gives each pixel a class",
    sure=False,
    unsupported_methods=dict.fromkeys(
        ("attention", "query", "library", "mask"),
        "asks for one score a picture and {id} gives each pixel one: use GradCAM.",
    ),
    unmapped="No map: no pixel of the edited picture is {label}.",
    frame_note="Percents are shares of the frame, and not how sure it is.",
)
_EMBED = Task(
    id="embed",
    title="Compare pictures",
    decoder=VectorDecoder(),
    scorer=VectorScorer(),
    wording=VectorWording(),
    evaluation="",
    gives="compares pictures",
    names_classes=False,
    sure=False,
    ranked=False,
    scored=False,
    drawn="persons",
    unsupported_methods=dict.fromkeys(
        ("mask", "pixel", "library"), "asks for a class and {id} predicts none: use GradCAM or EigenCAM."
    ),
    meaning_of_row="a vector, to compare pictures",
    no_answer="predicts no class",
)
TASKS: dict[str, Task] = {
    "classify": _CLASSIFY,
    "multilabel": replace(
        _CLASSIFY,
        id="multilabel",
        title="Several classes",
        gives="names several classes",
        competes=False,
        meaning_of_row="several classes at once",
    ),
    "detect": _DETECT,
    "segment": _SEGMENT,
    "regress": _REGRESS,
    "embed": _EMBED,
    "pose": replace(_DETECT, id="pose", decoder=PoseDecoder(), wording=PoseWording()),
    "depth": replace(
        _REGRESS,
        id="depth",
        decoder=DepthDecoder(),
        scorer=DepthScorer(),
        wording=DepthWording(),
        granularities=("class", "pixel"),
        meaning_of_row="",
    ),
}
"""By id: those that a model's row states, and two that its adapter finds."""


def task_of(model: ModelSpec | Adapter | str) -> Task:
    """Return a model's task by its row, id, or adapter; of an unknown id `classify`."""
    if isinstance(model, str):
        return TASKS.get(model, _CLASSIFY)
    if getattr(model, "joints", ()):
        return TASKS["pose"]
    if getattr(model, "measures_pixels", False):
        return TASKS["depth"]
    spec: Any = getattr(model, "spec", model)
    return TASKS[spec.task]


def describe_score(score: float, model: ModelSpec, label: str = "") -> str:
    """Format a class's score in percent, or a number with its unit.

    `label`: which number it is, where a model's have several units.
    """
    return task_of(model).wording.text(score, model.unit_of(label))
