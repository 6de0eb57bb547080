"""Presets of options for "where" and "why".

"Where is it?" is answered by the class score near the output. "Why this class and not another?" is answered by the
class's logit against the others', early enough in the model to show parts of an object. On drawn scenes with a known
cause each of the two settings fails at the other's question (`python -m benchmarks truth`). On photographs the fine
layer alone is no better than "where" at the class's lead over the next one; its mean with coarser layers is
(benchmarks/results/why.md), and on drawn scenes that finds the cause as often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.layers import stages
from sightglass.explain.tasks import task_of

if TYPE_CHECKING:
    from sightglass.explain.evidence.loaded_model import LoadedModel
    from sightglass.models.adapter import Part

Question = Literal["where", "why"]
STRIDE = 8
"""Pixels of the input per cell of the finest map that answers why: coarser ones blur a mark into what is around it."""


class Preset(TypedDict):
    """The options that ask a question; empty layers are the model's default."""

    part: Part
    method: str
    layers: tuple[str, ...]


def settings(loaded: LoadedModel, question: str) -> Preset:
    """Return the options for a question; raise ModelProblem for one that is unknown, or not for this model."""
    if question not in get_args(Question):
        raise ModelProblem(f"There is no question {question!r}: ask {' or '.join(get_args(Question))}.")
    spec = loaded.adapter.spec
    if question == "where":
        return {"part": loaded.adapter.parts[0], "method": loaded.usual_method(), "layers": ()}
    if not answers_why(loaded):
        raise ModelProblem(f"{spec.id} cannot say why this class and not another: ask it where.")
    return {
        "part": "contrast",
        "method": spec.why.method,
        "layers": spec.why.target_layers or _from_fine_to_coarse(loaded),
    }


def answers_why(loaded: LoadedModel) -> bool:
    """Return whether a model has layers and a contrast besides its default."""
    return loaded.gradients and "contrast" in loaded.adapter.parts[1:]


def _from_fine_to_coarse(loaded: LoadedModel) -> tuple[str, ...]:
    """Return the last outer layer of each cell size, from `STRIDE` pixels by doubling to the default layer's.

    A detector has that of the first size alone, and so has a default layer of so fine cells. Empty without one.
    """
    if task_of(loaded.adapter).explains("detection"):
        paths = [stage.path for stage in stages(loaded) if stage.part == "backbone" and stage.stride == STRIDE]
        return tuple(paths[-1:])
    last = loaded.survey.by_path[loaded.default_layers[-1]]
    finer: list[str] = []
    stride = STRIDE
    # The default's own size is left out, also where its cells divide the input unevenly: 260 pixels by 9 are 28.9.
    while stride < 0.9 * loaded.probed[0] / last.shape[1]:
        if path := _outer(loaded, stride):
            finer.append(path)
        elif not finer:
            return ()
        stride *= 2
    if finer:
        return (*finer, *loaded.default_layers)
    path = _outer(loaded, STRIDE)
    return (path,) if path else ()


def _outer(loaded: LoadedModel, stride: int) -> str:
    """Return the last outermost layer with this cell size, or an empty string."""
    # Of an input of 260 pixels there are 33 such cells.
    near = [layer.path for layer in loaded.layers if abs(loaded.probed[0] / layer.shape[1] / stride - 1) < 0.5 / STRIDE]
    depth = min((path.count(".") for path in near), default=0)
    return next((path for path in reversed(near) if path.count(".") == depth), "")
