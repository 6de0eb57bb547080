"""The tasks: everything specific to a kind of answer.

All that is not here is the same for every model: code elsewhere asks a task for what it needs, and not which one it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sightglass.common.errors import ModelProblem
from sightglass.explain.tasks.describe import WordDecoder, WordScorer, WordWording
from sightglass.explain.tasks.detect import BoxDecoder, BoxScorer, BoxWording, PoseDecoder, PoseWording
from sightglass.explain.tasks.embed import VectorDecoder, VectorScorer, VectorWording
from sightglass.explain.tasks.parts import Decoder, Scorer
from sightglass.explain.tasks.regress import DepthDecoder, DepthScorer, DepthWording, NumberScorer, NumberWording
from sightglass.explain.tasks.segment import PixelDecoder, PixelScorer, PixelWording
from sightglass.explain.tasks.wording import UNSURE, Wording
from sightglass.models.adapter import Adapter
from sightglass.models.spec import ModelSpec


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


_CLASSIFY = Task(id="classify", title="Classify", competes=True, meaning_of_row="one class of many")
_MULTILABEL = replace(
    _CLASSIFY,
    id="multilabel",
    title="Several classes",
    gives="names several classes",
    competes=False,
    meaning_of_row="several classes at once",
)
_DETECT = Task(
    id="detect",
    title="Detect",
    decoder=BoxDecoder(),
    scorer=BoxScorer(),
    wording=BoxWording(),
    granularities=("class", "detection", "picture"),
    evaluation="boxes",
    verb="detect",
    gives="draws boxes",
    ranked=False,
    drawn="detect",
    masks=800,
    blind={"method": "drise"},
    independent=("which object, not which part of it", "shows which object, not which part of it or why"),
    hint="; a lower --score-thr shows more",
    unmapped="No map: the {label} that the model was surest of is not found in the edited picture.",
)
_REGRESS = Task(
    id="regress",
    title="Measure",
    scorer=NumberScorer(),
    wording=NumberWording(),
    quantity="number",
    evaluation="numbers",
    value="number",
    heading="Number",
    gives="gives numbers",
    sure=False,
    scored=False,
    meaning_of_row="a number, such as an age or an angle",
)
_SEGMENT = Task(
    id="segment",
    title="Segment",
    decoder=PixelDecoder(),
    scorer=PixelScorer(),
    wording=PixelWording(),
    granularities=("class", "region", "pixel"),
    evaluation="areas",
    value="share of the picture",
    heading="Share of the picture",
    verb="segment",
    gives="gives each pixel a class",
    sure=False,
    unsupported_methods=dict.fromkeys(
        ("attention", "query", "library", "mask"),
        "asks for one score a picture and {id} gives each pixel one: use GradCAM.",
    ),
    unmapped="No map: no pixel of the edited picture is {label}.",
    frame_note="Percents are shares of the frame, and not how sure it is.",
)
_EMBED = Task(
    id="embed",
    title="Compare pictures",
    decoder=VectorDecoder(),
    scorer=VectorScorer(),
    wording=VectorWording(),
    evaluation="",
    gives="compares pictures",
    names_classes=False,
    sure=False,
    ranked=False,
    scored=False,
    drawn="persons",
    unsupported_methods=dict.fromkeys(
        ("mask", "pixel", "sharp", "tested", "library"),
        "asks for a class and {id} predicts none: use GradCAM or EigenCAM.",
    ),
    meaning_of_row="a vector, to compare pictures",
    no_answer="predicts no class",
)
_DESCRIBE = Task(
    id="describe",
    title="Describe",
    decoder=WordDecoder(),
    scorer=WordScorer(),
    wording=WordWording(),
    evaluation="",
    value="how far it was seen",
    heading="Seen",
    gives="answers in words",
    sure=False,
    ranked=False,
    drawn="captioned",
    unsupported_methods=dict.fromkeys(
        ("pixel", "sharp", "tested", "library", "noise", "attention"),
        "reads a picture's input and {id} has its own: use Path gradient.",
    ),
    meaning_of_row="words of an answer",
    unmapped="No map: {label} is not seen in the edited picture.",
    no_answer="no words",
)
_POSE = replace(_DETECT, id="pose", decoder=PoseDecoder(), wording=PoseWording())
_DEPTH = replace(
    _REGRESS,
    id="depth",
    decoder=DepthDecoder(),
    scorer=DepthScorer(),
    wording=DepthWording(),
    granularities=("class", "pixel"),
    meaning_of_row="",
)
TASKS = {row.id: row for row in (_CLASSIFY, _MULTILABEL, _DETECT, _SEGMENT, _REGRESS, _EMBED, _DESCRIBE, _POSE, _DEPTH)}
"""By id: those that a model's row states, and two that its adapter finds."""


def task_of(model: ModelSpec | Adapter | str) -> Task:
    """Return a model's task by its row, id, or adapter; of an unknown id `classify`."""
    if isinstance(model, str):
        return TASKS.get(model, _CLASSIFY)
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
    return task_of(model).wording.text(score, model.unit_of(label))
