"""Tell classification, multi-label, regression, embedding and segmentation apart, and read rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.models.spec import STATED, Task

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["logits", "probabilities", "sigmoids", "logit", "probability", "numbers"]
"""Outputs of a model: one number for each class, one for yes against no, or quantities as they are."""
CONTRASTS = (30.0, -30.0)
"""Factors of a picture's contrast for `kind_of`: a logit leaves 0..1 for one of them."""
_LEAST = 1e-12
"""Least probability whose logarithm is taken."""
WITHIN = 1e-3
"""Largest difference that rounding explains, relative to the largest value."""
COARSEST = 16
"""Pixels of the input per pixel of a map of classes at most: coarser ones are features, and no segmentation."""


def check_task(task: str) -> Task:
    """Return a task that a caller named; raise ModelProblem unless a module can have it."""
    for name in STATED:
        if task == name:
            return name
    hint = did_you_mean(task, STATED, f"use one of {', '.join(STATED)}.")
    raise ModelProblem(f"task is {task!r}: {hint}")


def kind_of(answers: Sequence[Tensor], bare: bool = False) -> Kind:
    """Classify outputs (1, classes) of photographs; `bare`: without the last activation."""
    import torch

    outputs = torch.cat([*answers]).float()
    outputs = outputs[~outputs.isnan().all(1)]
    # A class may be NaN alone.
    outputs = outputs[:, ~outputs.isnan().any(0)]
    between = not bare and outputs.numel() > 0 and bool(((outputs >= 0) & (outputs <= 1)).all())
    if outputs.shape[1] == 1:
        return "probability" if between else "logit"
    sums = outputs.sum(1)
    if not between:
        # Percentages, too, add up to the same for every picture.
        same = len(sums) > 1 and 0 < sums[0] < math.inf and torch.allclose(sums, sums[0].expand_as(sums), rtol=2e-3)
        return "probabilities" if same and not bare and bool((outputs >= 0).all()) else "logits"
    return "probabilities" if torch.allclose(sums, torch.ones_like(sums), atol=2e-3) else "sigmoids"


def logits_of(answer: Tensor, kind: Kind) -> Tensor:
    """Return class logits from an answer (B, n, ...); two for a single number."""
    if kind == "numbers":
        return answer
    # Clamping would hide an infinite probability.
    answer = answer if kind in ("logits", "logit") else answer.masked_fill(answer.isinf(), float("nan"))
    if kind == "probabilities":
        return answer.clamp_min(_LEAST).log()
    if kind in ("probability", "sigmoids"):
        answer = answer.clamp(_LEAST, 1 - 1e-7).logit()
    return both(answer) if kind in ("logit", "probability") else answer


def same_answer(first: Tensor, second: Tensor, within: float = WITHIN) -> bool:
    """Return whether two answers are the same but for rounding; `within`: relative to the second's largest number."""
    import torch

    if first.shape != second.shape:
        return False
    tolerance = within * float(second.abs().nan_to_num(posinf=0).max()) if second.numel() else 0.0
    return torch.allclose(first, second, rtol=0, atol=tolerance, equal_nan=True)


def both(logit: Tensor) -> Tensor:
    """Return (B, 2) logits, no and yes, for (B, 1)."""
    import torch

    return torch.cat((-logit / 2, logit / 2), 1)
