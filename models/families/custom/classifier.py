"""Probe a classifier of unknown origin."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models.adapters.classifier import Classifier, both
from sightglass.models.preprocess import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec, PreprocessingTable

Kind = Literal["logits", "probabilities", "logit", "probability"]
"""Outputs of a module: one number for each class, or one for yes against no."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, the usual ones in training."""
SIDES = (224, 32, 64, 28, 96, 128, 256, 299, 384, 48, 112, 160, 192, 336, 448, 512)
SMALL = {1: 32, 2: 32, 4: 32, 8: 64}
"""Usual input side of networks by their total stride, where that is small."""
FILLS = (0.0, -30.0, 30.0, 1.0)
"""Tones of the flat pictures for probing: a logit leaves 0..1 for some of them."""
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Probed:
    """Findings about a module from a few passes of flat pictures."""

    module: nn.Module
    classes: int
    kind: Kind
    preprocessing: Preprocessing
    why: str
    """Source of the inferred preprocessing."""
    notes: tuple[str, ...]


class CustomClassifier(Classifier):
    """Find logits in whatever the module returns, and turn probabilities back into them."""

    kind: Kind = "logits"

    def _answer(self, tensor: Tensor) -> Tensor:
        answer = answer_in(self.module(tensor))
        assert answer is not None
        if self.kind == "probabilities":
            return answer.clamp_min(_LEAST).log()
        if self.kind == "probability":
            answer = answer.clamp(_LEAST, 1 - 1e-7).logit()
        return both(answer) if self.kind in ("logit", "probability") else answer

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer before pooling; of a transformer the last tokens that attention reads."""
        pooled = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d)
        found = [layer for layer in layers if not isinstance(self.module.get_submodule(layer.path), pooled)]
        return super().default_layers(found or layers)


def answer_in(output: Any) -> Tensor | None:
    """Return the (B, classes) in a module's output: the output itself, the first of several, `logits` of an object."""
    if isinstance(output, torch.Tensor):
        if output.ndim == 4 and output.shape[2:] == (1, 1):
            output = output.flatten(1)
        return output[:, None] if output.ndim == 1 else output if output.ndim == 2 else None
    if isinstance(output, dict):
        first = [output[name] for name in ("logits", "out", "output", "pred") if name in output]
        output = (*first, *output.values())
    elif hasattr(output, "logits"):
        output = (output.logits,)
    if isinstance(output, (list, tuple)):
        return next((found for part in output if (found := answer_in(part)) is not None), None)
    return None


def probe(module: nn.Module, stated: PreprocessingTable, spec: ModelSpec) -> Probed:
    """Find out what a module takes and returns; `stated` is the known part of its preprocessing.

    Raises ModelProblem, one sentence, where it takes no picture of a usual size, or returns no classes.
    """
    module = module.eval()
    channels = channels_of(module)
    stated = stated.for_channels(channels)
    side, why = _side(module, channels, stated.sides, spec)
    notes: tuple[str, ...] = ()
    bare = _without_last(module, channels, side)
    if bare:
        notes = ("Its logits are explained, before its last activation.",)
    answers = [found[0] for fill in FILLS if isinstance(found := _try(module, channels, side, fill), tuple)]
    kind = kind_of(answers, bare)
    if kind in ("probabilities", "probability"):
        notes += ("It returns probabilities: their logarithms are taken for its logits.",)
    count = answers[0].shape[1]
    preprocessing = Preprocessing((side, side), side, MEAN, STD).changed(stated)
    return Probed(module, 2 if count == 1 else count, kind, preprocessing, why, notes)


def channels_of(module: nn.Module) -> int:
    """Return the number of channels of the first convolution."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def _side(module: nn.Module, channels: int, stated: tuple[int, int] | None, spec: ModelSpec) -> tuple[int, str]:
    """Return the side of the input, and how it was found."""
    refused, say = None, spec.where_stated("preprocessing.size")
    if stated and stated[0] != stated[1]:
        raise ModelProblem(f"{spec.id} takes square pictures here: say {say} as one number.")
    for side in stated[:1] if stated else SIDES:
        found = _try(module, channels, side)
        if isinstance(found, Exception):
            refused = refused or found
            continue
        if stated:
            return side, "the numbers"
        if side != SIDES[0]:
            return side, f"of the usual sizes {side} is the first that it takes"
        cells = found[1]
        shrunk = side // cells if cells else side
        small = SMALL.get(shrunk)
        if small and not isinstance(_try(module, channels, small), Exception):
            return small, f"it shrinks a picture {shrunk} times only"
        return side, f"it takes {side} x {side}"
    reason = next(iter(str(refused).strip().splitlines()), "")[:160].rstrip(".")
    tried = f"{stated[0]} x {stated[1]}" if stated else "of a usual size"
    raise ModelProblem(
        f"{spec.id} takes no picture {tried} with {channels} channels ({reason}): say {say}."
    ) from refused


def _try(module: nn.Module, channels: int, side: int, fill: float = 0.0) -> tuple[Tensor, int] | Exception:
    """Return (1, classes) for one flat picture and the height of the last map inside, or the exception."""
    try:
        with torch.no_grad(), record(module) as calls:
            answer = answer_in(module(torch.full((1, channels, side, side), fill)))
    # It is somebody else's code.
    except Exception as problem:
        return problem
    if answer is None or len(answer) != 1:
        return ValueError("it returns no row of classes for a picture")
    heights = [output.shape[-2] for *_, output in calls if output.ndim == 4 and output.shape[-1] > 1]
    return answer, heights[-1] if heights else 0


@contextmanager
def record(module: nn.Module) -> Iterator[list[tuple[str, Any, Tensor]]]:
    """Record path, inputs and output of the module's and its parts' calls that return one tensor."""
    calls: list[tuple[str, Any, Tensor]] = []

    def record(path: str, _part: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            calls.append((path, inputs, output))

    with ExitStack() as hooks:
        for path, part in module.named_modules():
            hooks.enter_context(part.register_forward_hook(partial(record, path)))
        yield calls


def _without_last(module: nn.Module, channels: int, side: int) -> bool:
    """Remove a final softmax or sigmoid module; return whether there was one."""
    with torch.no_grad(), record(module) as calls:
        answer = module(torch.zeros(1, channels, side, side))
    last = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)
    seen = [(path, output) for path, _, output in calls if path and isinstance(module.get_submodule(path), last)]
    if not seen or seen[-1][1] is not answer or [path for path, _ in seen].count(seen[-1][0]) > 1:
        return False
    above, _, name = seen[-1][0].rpartition(".")
    module.get_submodule(above).register_module(name, nn.Identity())
    return True


def kind_of(answers: Sequence[Tensor], bare: bool = False) -> Kind:
    """Classify outputs (1, classes) each; `bare`: of a module whose last activation was removed."""
    every = torch.cat([*answers]).float()
    between = not bare and bool(((every >= 0) & (every <= 1)).all())
    if every.shape[1] == 1:
        return "probability" if between else "logit"
    sums = every.sum(1)
    return "probabilities" if between and torch.allclose(sums, torch.ones_like(sums), atol=1e-4) else "logits"
