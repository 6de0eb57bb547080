"""The tasks: everything specific to a kind of answer, one module each.

All that is not here is the same for every model: code elsewhere calls the task and does not ask which one it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.explain.tasks.classify import Classify, Multilabel
from sightglass.explain.tasks.depth import Depth
from sightglass.explain.tasks.detect import Detect
from sightglass.explain.tasks.embed import Embed
from sightglass.explain.tasks.pose import Pose
from sightglass.explain.tasks.regress import Regress
from sightglass.explain.tasks.segment import Segment
from sightglass.explain.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.models.adapter import Adapter, Prediction, Target
    from sightglass.models.spec import ModelSpec

TASKS: dict[str, Task] = {task.id: task for task in (Classify(), Multilabel(), Detect(), Segment(), Regress(), Embed())}
"""The tasks that a model's row states, by id."""
_POSE, _DEPTH = Pose(), Depth()


def task_of(model: ModelSpec | Adapter | str) -> Task:
    """Return a model's task by its row, id, or adapter."""
    if isinstance(model, str):
        return TASKS.get(model, TASKS["classify"])
    if getattr(model, "joints", ()):
        return _POSE
    if getattr(model, "measures_pixels", False):
        return _DEPTH
    spec: Any = getattr(model, "spec", model)
    return TASKS[spec.task]


def describe_score(score: float, model: ModelSpec, label: str = "") -> str:
    """Format a class's score in percent, or a number with its unit.

    `label`: which number it is, where a model's have several units.
    """
    return TASKS[model.task].text(score, model.unit_of(label))


def decode(evidence: Evidence, options: Options) -> tuple[Prediction, ...]:
    """Return the predictions for these options, filtered by class."""
    return task_of(evidence.resident.adapter).decode(evidence, options)


def resolve(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
    """Return the options' targets, or the best `top_k` predictions."""
    return task_of(evidence.resident.adapter).resolve(options, predictions, evidence)
