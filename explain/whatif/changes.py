"""Describe an edit's, or a hiding disc's, changes of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.tasks.task import Change
from sightglass.explain.trust.perturber import blur

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.whatif.edits import Edit


@own_modes()
def changes(before: Explanation, after: Explanation) -> tuple[Change, ...]:
    """Return an edit's changes of the best classes, or of all boxes.

    A model that compares pictures has neither: its one change is the cosine to the unedited picture, from 1.
    """
    return before.task.changes(before, after)


def sentence(before: Explanation, changes: Sequence[Change], edit: Edit) -> str:
    """Say what an edit changed, in numbers that were measured."""
    if not (edit.paints or edit.moves):
        return before.task.invite(before)
    return f"{_condition(edit)}, {before.task.describe_changes(before.model, changes)}."


def _condition(edit: Edit) -> str:
    if edit.paints and edit.moves:
        return "With your changes"
    if edit.moves:
        return "With only the patch that you moved" if edit.keep else "With the patch that you moved"
    return "With only what you kept" if edit.keep else "Without what you painted over"


@dataclass(frozen=True, slots=True)
class Disc:
    """A round part of a picture, in original pixels."""

    x: float
    y: float
    radius: float


class DiscHider:
    """Answers a picture again with a blurred disc over a part.

    It works on the model's input, as a proof does, so that a step costs one pass whatever the size of the picture.

    >>> from sightglass import Explainer
    >>> hider = DiscHider(Explainer()("bus.jpg"))
    >>> hider.changes(Disc(400, 450, 160))[0].label
    'minibus'
    """

    def __init__(self, explanation: Explanation) -> None:
        self._explanation = explanation

    @cached_property
    def _blurred(self) -> Tensor:
        """The model's input (1, C, h, w), its picture blurred."""
        evidence = self._explanation.evidence
        left, top, right, bottom = evidence.geometry.content
        out = evidence.tensor.clone()
        out[..., top:bottom, left:right] = blur(out[..., top:bottom, left:right])
        return out

    def covered(self, disc: Disc) -> Tensor:
        """Return the input pixels within the disc, bool (h, w), on its device."""
        geometry, device = self._explanation.evidence.geometry, self._explanation.evidence.tensor.device
        (height, width), (sy, sx), (oy, ox) = geometry.input, geometry.scale, geometry.offset
        down = (torch.arange(height, device=device) + 0.5 - oy) / sy - disc.y
        across = (torch.arange(width, device=device) + 0.5 - ox) / sx - disc.x
        return down[:, None] ** 2 + across**2 <= disc.radius**2

    @own_modes()
    def changes(self, disc: Disc) -> tuple[Change, ...]:
        """Return the effect of hiding a disc on classes or boxes.

        Boxes are those of before, best first; one that is not found any more has no score after.
        """
        explanation = self._explanation
        evidence = explanation.evidence
        resident = evidence.resident
        adapter, lock = resident.aside()
        hidden = torch.where(self.covered(disc), self._blurred, evidence.tensor)
        with torch.no_grad(), lock:
            outputs = adapter.run(resident.move_input(hidden))
        with torch.no_grad():
            return explanation.task.changes_in(explanation, outputs)
