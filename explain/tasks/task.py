"""A task: what its parts are, and what other code needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sightglass.common.errors import ModelProblem
from sightglass.explain.tasks.parts import Decoder, Scorer
from sightglass.explain.tasks.wording import UNSURE, Wording


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """A kind of answer, put together from three parts; the defaults hold for one row of scores, a class each."""

    id: str
    title: str
    """In a list of models: `Classify`."""
    decoder: Decoder = field(default_factory=Decoder)
    """From outputs to predictions, and from options to targets."""
    scorer: Scorer = field(default_factory=Scorer)
    """The score of a target on its picture, and on changed ones."""
    wording: Wording = field(default_factory=Wording)
    """Sentences, labels and cells of tables."""
    granularities: tuple[str, ...] = ("class",)
    """What a map can be of, as the option `per`: a class, a `detection`, the whole `picture`, a `region`, a `pixel`."""
    quantity: Literal["score", "number"] = "score"
    """What evidence raises and lowers."""
    evaluation: Literal["classes", "boxes", "areas", "numbers", ""] = "classes"
    """What labelled pictures state of it, by which `evaluation.kinds` judges it; empty for nothing."""
    value: str = "how sure"
    """What the number beside an answer is."""
    heading: str = "Score"
    """Of a curve of its scores."""
    verb: str = "image"
    """The command line's verb for its pictures."""
    gives: str = "is a classifier"
    """What one of its models is or does, after its name."""
    competes: bool = False
    """Whether its classes exclude each other, so that one class speaks against the others."""
    names_classes: bool = True
    sure: bool = True
    """Whether its scores say how sure the model is."""
    ranked: bool = True
    """Whether its answers are the best of a ranking, which are explained where none is asked for."""
    scored: bool = True
    """Whether its answers are classes with a score, which evidence can speak against and a clip can follow."""
    drawn: str = "classify"
    """The set of packaged pictures that its packaged models know."""
    masks: int = 1000
    """Masks for one picture where none are asked for, where the papers take 5000: maps of 800 with two seeds correlate
    by 0.7 to 0.8 on a street scene, and their peaks lie in their boxes (benchmarks/results/by-hand.md)."""
    blind: Mapping[str, Any] = field(default_factory=lambda: {"method": "occlusion", "masks": 49})
    """Options of a first map without layers, which comes within seconds."""
    unsupported_methods: Mapping[str, str] = field(default_factory=dict)
    """Families of methods that cannot explain it, and why."""
    independent: tuple[str, str] = ("little of what was learnt", "is no evidence of what was learnt")
    """What a map shows that does not depend on the weights: as an object, and as a verb."""
    meaning_of_row: str = ""
    """What a row of numbers means; empty where the answer is none: `one class of many`."""
    hint: str = ""
    """How more answers are shown."""
    no_answer: str = "nothing found"
    unmapped: str = ""
    """Why an edited picture has no map of `{label}`."""
    frame_note: str = ""
    """What has to be said of the scores of a camera's frames."""

    def explains(self, granularity: str) -> bool:
        """Return whether a map can be of it (`granularities`)."""
        return granularity in self.granularities

    def is_sure(self, score: float) -> bool:
        """Return whether the best answer of a frame is one."""
        return not self.sure or score >= UNSURE

    def check_verb(self, verb: str, model: str) -> None:
        """Raise ModelProblem for a command line's verb of other models."""
        refusals = {
            "detect": f"{self.gives} and draws no boxes: use {self.verb}, or a detector",
            "segment": f"gives no class to a pixel: use {self.verb}, or a segmentation network",
        }
        if verb in refusals and verb != self.verb:
            raise ModelProblem(f"{model} {refusals[verb]}.")

    def check_box_options(self, model: str, *options: str, them: str = "it") -> None:
        """Raise ModelProblem for options of boxes without any."""
        if options and not self.explains("detection"):
            names = " and ".join(options)
            raise ModelProblem(f"{model} draws no boxes, so {names} would have no effect: leave {them} out.")
