"""Describe an edit's changes of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.explanation import Explanation
from sightglass.explain.tasks.parts import Change
from sightglass.explain.whatif.edits import Edit


@own_modes()
def changes(before: Explanation, after: Explanation) -> tuple[Change, ...]:
    """Return an edit's changes of the best classes, or of all boxes.

    A model that compares pictures has neither: its one change is the cosine to the unedited picture, from 1.
    """
    return before.task.scorer.changes(before, after)


def sentence(before: Explanation, changes: Sequence[Change], edit: Edit) -> str:
    """Say what an edit changed, in numbers that were measured."""
    if not edit.marks:
        return before.task.wording.invite(before)
    condition = "With only what you kept" if edit.keep else "Without what you painted over"
    return f"{condition}, {before.task.wording.describe_changes(before.model, changes)}."
