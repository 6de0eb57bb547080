"""Answer for a picture that a hand covers, many times a second."""

from __future__ import annotations

import hashlib
import secrets
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.settings import evidence_bytes
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.loaded_model import MODEL_CACHE
from sightglass.explain.phrases import NBSP
from sightglass.explain.tasks.detect import row_title
from sightglass.explain.whatif.edits import Edit, EditMark, changes, edited, paint
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.tasks.parts import Change
    from sightglass.models.adapter import Prediction, Target

ALL, LEFT = (Edit((EditMark("rectangle", ((0, 0), (share, 1))),)) for share in (1, 0.5))
CLOSE = 2 / 255
"""Mean difference from a prepared picture, as a share of its range, up to which blended inputs stand for it."""
_KEY = secrets.token_bytes(32)


class Touched:
    """An explained picture, ready to be covered."""

    def __init__(self, before: Explanation) -> None:
        self.before = before
        self.explained = (before,)

    def answer(self, edit: Edit, *, exact: bool = True) -> Json:
        """Return the covered picture's answers by the titles of their rows, and what moved as a sentence.

        `exact`: prepare the covered picture like any other; else blend prepared pictures where that is as good.
        """
        rows, words = self.explain_again(edit, exact=exact)
        return {"rows": rows, "sentence": f"Without it: {words}."}

    @own_modes()
    def explain_again(self, edit: Edit, *, exact: bool) -> tuple[Json, str]:
        """Return the answers by the titles of their rows, and what moved."""
        from sightglass.explain.evidence.evidence import Evidence
        from sightglass.explain.explanation import explain

        before, loaded, painted = self.before, self.before.evidence.loaded, paint(self.before.image, edit)
        tensor = self._prepare(edit) if exact or self.filled is None else self.blend(painted, self.filled)
        evidence = Evidence(loaded, ModelInput(tensor, before.evidence.geometry), ())
        after = explain(before.image, evidence, before.options, milliseconds={}, maps=False)
        moved = changes(before, after)
        if before.task.explains("detection") or not moved:
            words = before.task.wording.describe_changes(before.model, moved)
        else:
            old, new = (self._text(moved[0].label, score or 0.0) for score in (moved[0].before, moved[0].after))
            words = f"{moved[0].label} {old.removesuffix(f'{NBSP}%')} → {new}"
        return self._rows(after, moved), words

    @property
    def title(self) -> str:
        """The title of the first map's row; empty without a map."""
        before = self.before
        if not before.heatmaps:
            return ""
        if not before.task.explains("detection"):
            return before.heatmaps[0].target.label
        box = before.own(0)[0]
        return row_title(before.predictions.index(box) + 1 if box in before.predictions else "?", box.label)

    @cached_property
    def filled(self) -> Tensor | None:
        """The whole picture blurred, (1, C, h, w); None where the preparation is not linear."""
        filled, prepared = self._prepare(ALL), self._prepare(LEFT)
        if filled.shape != self.before.evidence.tensor.shape:
            return None
        difference = (self.blend(paint(self.before.image, LEFT), filled) - prepared).abs().mean()
        return filled if difference <= CLOSE * (prepared.max() - prepared.min()) else None

    def blend(self, painted: NDArray[np.bool_], filled: Tensor) -> Tensor:
        """Return the model input (1, C, h, w) of a picture that is filled where it is painted, (H, W)."""
        import torch

        evidence, geometry = self.before.evidence, self.before.evidence.geometry
        high, wide = (max(1, round(side * by)) for side, by in zip(geometry.original, geometry.scale, strict=True))
        mask = cv2.resize(painted.view(np.uint8) * 255, (wide, high), interpolation=cv2.INTER_AREA)
        bars = [(max(0, round(offset)), side) for offset, side in zip(geometry.offset, geometry.input, strict=True)]
        top, left = (max(0, -round(offset)) for offset in geometry.offset)
        (h, w), placed = geometry.input, np.pad(mask.reshape(high, wide), bars)[top:, left:]
        return torch.lerp(evidence.tensor, filled, torch.from_numpy(placed[:h, :w] / np.float32(255)).to(filled.device))

    def _prepare(self, edit: Edit) -> Tensor:
        before, loaded = self.before, self.before.evidence.loaded
        return loaded.move_input(loaded.prepare(edited(before.image, edit).image, before.options.preprocessing).tensor)

    def _rows(self, after: Explanation, moved: Sequence[Change]) -> Json:
        before, task = self.before, self.before.task
        rows: list[tuple[str, str, float | None]]
        if task.explains("detection"):
            pairs = enumerate(zip(before.predictions, moved, strict=False), 1)
            rows = [(row_title(number, box.label), box.label, change.after) for number, (box, change) in pairs]
        else:
            known = {answer.index: answer.score for answer in task.decoder.all_answers(after)}
            listed: list[Prediction | Target] = [*before.predictions, *(heatmap.target for heatmap in before.heatmaps)]
            rows = [(each.label, each.label, known.get(each.index)) for each in listed if each.index is not None]
        bar = task.wording.bar
        return {title: {"share": bar(score or 0.0), "text": self._text(label, score)} for title, label, score in rows}

    def _text(self, label: str, score: float | None) -> str:
        return "–" if score is None else self.before.task.wording.text(score, self.before.model.unit_of(label))


class TouchedByModels:
    """A picture that several models explained, ready to be covered."""

    def __init__(self, explanations: Mapping[str, Explanation]) -> None:
        """Take each model's explanation by the title of its row."""
        self.models = {name: Touched(before) for name, before in explanations.items()}
        self.explained = tuple(explanations.values())

    def answer(self, edit: Edit, *, exact: bool = True) -> Json:
        """Return each model's answer that its map is of; see `Touched.answer`."""
        rows: Json = {}
        moved: list[str] = []
        for name, touched in self.models.items():
            answers, words = touched.explain_again(edit, exact=exact)
            if touched.title in answers:
                rows[name] = answers[touched.title]
            moved.append(f"{name} {words}")
        return {"rows": rows, "sentence": f"Without it: {'; '.join(moved)}."}


_touched: ByteCache[Touched | TouchedByModels] = ByteCache(
    evidence_bytes, lambda touched: sum(before.evidence.nbytes for before in touched.explained)
)


def register(before: Explanation) -> str:
    """Return the key by which an explained picture can be touched; empty where it cannot be painted over."""
    return _register(lambda: Touched(before), before)


def register_models(explanations: Mapping[str, Explanation]) -> str:
    """Return the key by which a picture can be touched for several models."""
    return _register(lambda: TouchedByModels(explanations), *explanations.values())


def _register(make: Callable[[], Touched | TouchedByModels], *explanations: Explanation) -> str:
    if any(before.image.planes is not None for before in explanations):
        return ""
    # A model that was evicted to make room must not live on here.
    here = MODEL_CACHE.models()
    _touched.discard(lambda touched: any(before.evidence.loaded.origin not in here for before in touched.explained))
    text = repr([_content(before) for before in explanations])
    # Only whoever was given a page knows its key.
    key = hashlib.blake2b(text.encode(), key=_KEY, digest_size=16).hexdigest()
    _touched.get_or_make(key, make)
    return key


def _content(before: Explanation) -> tuple[object, ...]:
    """Return what the answers to a touched picture depend on."""
    listed = [heatmap.target.label for heatmap in before.heatmaps]
    return before.image.sha256, before.model.row_hash, before.evidence.weights_sha256, before.options, listed


def find(key: str) -> Touched | TouchedByModels:
    """Return a registered picture; raise Problem where it has left memory."""
    if (touched := _touched.get(key)) is None:
        raise Problem("This picture is no longer ready to be touched: reload the page.")
    return touched
