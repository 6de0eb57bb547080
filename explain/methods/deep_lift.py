"""DeepLift: what each pixel adds to the difference from a grey picture, by captum.

Captum has rules for modules of activations that run once in a pass. It does not see activations that a forward calls as
functions, and takes the plain gradient there: such networks are refused, as are modules that run several times, and
maps whose sum is not the difference of the answers.
"""

import warnings
from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.explain.methods.completeness import is_off, steps_of
from sightglass.explain.methods.scalars import Scalars

ACTIVATIONS = (
    *("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "Softmax"),
    *("Silu", "Gelu", "Mish", "Hardswish", "Hardsigmoid", "Hardtanh", "LogSigmoid", "PreluKernel"),
    *("MaxPool2DWithIndices", "ScaledDotProduct"),
)
"""Beginnings of the names of autograd's steps that are no sums: captum has rules for the modules of some."""
ADVICE = "use Integrated Gradients, which needs no rules."
"""Ends the sentences of what is refused."""


def attribute(scalars: Scalars, inputs: Tensor, grey: Tensor, name: str, size: int) -> Tensor:
    """Return captum's attribution, (1, C, h, w), of an input and a baseline; see `check_rules` for the others.

    Raises ModelProblem for a network that captum has no rules for.
    """
    from captum.attr import DeepLift

    check_rules(scalars, inputs, name, size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting forward, backward hooks")
        attribution: Tensor = DeepLift(scalars).attribute(inputs, grey)
    found, expected = float(attribution.detach().sum()), _difference(scalars, inputs, grey)
    if is_off(found, expected):
        raise ModelProblem(
            f"Captum's DeepLift of {name} sums to {found:.3g}, where the answer differs by {expected:.3g} from that to "
            f"a grey picture: some of its steps have no rule: {ADVICE}"
        )
    return attribution


def check_rules(scalars: Scalars, inputs: Tensor, name: str, size: int) -> None:
    """Raise ModelProblem for a network with activations that captum has no rules for.

    `inputs`: (1, C, h, w), which needs gradients; `name`: the model's; `size`: how many pictures a pass may hold.
    """
    if size < 2:
        raise ModelProblem(f"DeepLift compares two pictures in one pass, and this map takes one at a time: {ADVICE}")
    calls, steps = _count(scalars, inputs)
    repeated = next((path for path, count in calls.items() if count > 1), None)
    if repeated is not None:
        raise ModelProblem(
            f"{repeated} runs {calls[repeated]} times in a pass of {name}, and captum's DeepLift takes modules that "
            f"run once: {ADVICE}"
        )
    if steps > calls.total():
        raise ModelProblem(
            f"Captum's DeepLift has rules for {calls.total()} of {steps} activations in a pass of {name}, which are "
            f"functions or of other kinds: {ADVICE}"
        )


def _difference(scalars: Scalars, inputs: Tensor, grey: Tensor) -> float:
    """Return by how much the number for a picture is above that for a grey one."""
    with torch.no_grad():
        whole, start = (float(scalars(picture.detach()).sum()) for picture in (inputs, grey))
    return whole - start


def _count(scalars: Scalars, inputs: Tensor) -> tuple[Counter[str], int]:
    """Count a pass's activations: those with a rule, by path, and all."""
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    calls: Counter[str] = Counter()
    with ExitStack() as hooks:
        for path, module in scalars.model.named_modules():
            if type(module) in SUPPORTED_NON_LINEAR:

                def note(*_: Any, path: str = path) -> None:
                    calls[path] += 1

                hooks.enter_context(module.register_forward_hook(note))
        scalar = scalars(inputs)
    return calls, sum(name.startswith(ACTIVATIONS) for name in steps_of(scalar))
