"""Vectors of pictures, compared with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import percent
from sightglass.explain.tasks.parts import Answers, Change, Decoder, Found, Movement, ScoreOutputs, Scorer
from sightglass.explain.tasks.wording import Answer, Wording
from sightglass.models.adapter import Prediction, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.spec import ModelSpec

EMBEDDING = -1
"""The target in the recipe of a model without classes."""


class VectorDecoder(Decoder):
    """A vector: the model names no class."""

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        adapter = evidence.loaded.adapter
        if any(target != EMBEDDING for target in options.targets):
            raise ModelProblem(f"{adapter.spec.id} names no classes: compare pictures with it (similarity).")
        return [Target(None, "its embedding", (), options.part)]


class VectorScorer(Scorer):
    """The cosine of a changed picture's vector with the picture's own."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        def of_picture(outputs: Any) -> Answers:
            score = cosine(evidence, outputs)
            return Answers(score, score, score.new_ones(len(score)).bool())

        return of_picture

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        return float(cosine(before.evidence, evidence.outputs)[0]), "", target

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return the cosine to the unedited picture, from 1."""
        return (Change("Similarity to the original", 1.0, float(cosine(before.evidence, after.evidence.outputs)[0])),)


class VectorWording(Wording):
    """What is said where no class is named."""

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        return f"{result.model.name} compares pictures.", False

    def meaning(self, result: Result, hot: str, index: int, *, named: bool) -> str:
        if result.heatmaps[index].signed or result.options.part == "contrast":
            return super().meaning(result, hot, index, named=named)
        return f"{hot.capitalize()} is what its embedding is based on."

    def answers(self, result: Result, predictions: Sequence[Prediction] | None = None) -> list[Answer]:
        return [Answer(prediction.label, "", None) for prediction in predictions or ()]

    def answer_name(self, result: Result, most: int) -> str | None:
        return ""

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        if any(result.task.names_classes for result in results):
            return None
        return "They predict no class: these are maps of what their embeddings are made of."

    def describe_spread(self, label: str, scores: tuple[str, str], score: str, flips: str) -> str:
        return f"the picture stays {scores[0]} to {scores[1]} similar to itself."

    def invite(self, before: Result) -> str:
        return "Paint over something: how similar does the picture stay to the original?"

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        return f"the picture is {percent(changes[0].after or 0.0)} similar to the original"


def cosine(evidence: Evidence, outputs: Any) -> Tensor:
    """Return the cosines of outputs' embeddings with a picture's own, (B,) float64 on the CPU, -1..1."""
    from torch.nn import functional as F

    adapter = evidence.loaded.adapter
    vector, vectors = (adapter.embedding(side).detach().double() for side in (evidence.outputs, outputs))
    return F.cosine_similarity(vector[:1], vectors).cpu()
