"""The recipe of an explanation: everything needed to compute it again."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sightglass import __version__
from sightglass.common.errors import ModelProblem
from sightglass.common.legible import MAX_NAME, legible
from sightglass.explain.options import MAX_CORNERS, MAX_TEXT, Per, Scale, Side, Smooth, Within
from sightglass.explain.trust import Filling, Mark
from sightglass.explain.trust.checks import QUESTIONS, CheckId
from sightglass.models.adapter import Part
from sightglass.models.preprocess import Preprocessing

VERSION = __version__
MAX_TARGETS = 10_000
"""Maps of a recipe that is made again: 100,000 of 160 x 192 pixels take 12 GB."""
FUNCTION_TARGET = -2
"""The target that stands for a function, whose map no recipe can make again."""
Share = Annotated[float, Field(ge=0, le=1)]
_ONE_LINE = AfterValidator(lambda name: legible(name) if name else "")
Legible = Annotated[str, _ONE_LINE]
"""A name in a file that is read, as one line of text; it may be empty there."""
Label = Annotated[str, Field(max_length=MAX_NAME), _ONE_LINE]
"""The same, where a longer one makes the file no valid one."""


@cache
def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and of this project."""
    installed = {"sightglass": VERSION}
    for package in ("torch", "torchvision", "timm", "ultralytics", "grad-cam", "captum", "pillow", "numpy"):
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


class ProofSettings(BaseModel):
    """The settings of a proof, for `Explanation.prove`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int = 0
    """Index of the map among the recipe's targets."""
    steps: int = 20
    fillings: tuple[Filling, ...] = ("blur", "mean")


_Number = Annotated[float, Field(allow_inf_nan=True)] | None
Finite = Annotated[_Number, AfterValidator(lambda number: None if number is None or not isfinite(number) else number)]
"""A number of a check, None where it is not finite."""


class SavedMark(BaseModel):
    """One check by its numbers alone: its sentence follows from them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, from_attributes=True, populate_by_name=True
    )

    question: CheckId = Field(validation_alias="id")
    answer: Mark = Field(validation_alias="state")
    value: Finite = None
    control: Finite = None
    inside: Finite = None


class SavedChecks(BaseModel):
    """The checks of a map: `Explanation.checks` must find the same again."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    index: int = Field(default=0, ge=0)
    """Index of the map among the recipe's targets."""
    marks: tuple[SavedMark, ...] = Field(max_length=len(QUESTIONS))


class Recipe(BaseModel):
    """The settings of an explanation, reproducible bit for bit on a CPU."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    picture_sha256: str
    picture_name: Legible
    model: Legible
    weights_sha256: str
    method: Legible
    layers: tuple[Legible, ...]
    targets: tuple[int | tuple[int, int], ...]
    """Classes by index; of single detections (anchor, class), with -1 as anchor each box of the class; -1 is the whole
    picture, -2 a function in Python."""
    top_k: int
    scale: Scale
    preprocessing: Legible
    prepared: Preprocessing | None = None
    """How the model's pictures are resized and normalised, where that is known."""
    confidence: Share
    iou: Share
    per: Per = "class"
    part: Part = "class"
    at: tuple[float, ...] = Field(default=(), max_length=2 * MAX_CORNERS, exclude_if=lambda at: not at)
    """Part of a segmentation or a depth; files of other models lack it and `against`."""
    against: int | Legible | None = Field(default=None, exclude_if=lambda against: against is None)
    joint: Legible | None = Field(default=None, exclude_if=lambda joint: joint is None)
    """Joint of a pose; files of other models lack it."""
    evidence: Side = Field(default="for", exclude_if=lambda side: side == "for")
    smooth: Smooth = Field(default="none", exclude_if=lambda smooth: smooth == "none")
    ratio: Share = 0.02
    classes: tuple[int | Legible, ...] = ()
    within: Within = "picture"
    vocabulary: tuple[Legible, ...] = ()
    examples: tuple[tuple[tuple[float, float, float, float], Legible], ...] = ()
    prompt: str = Field(default="", max_length=MAX_TEXT, exclude_if=lambda prompt: not prompt)
    answer: str = Field(default="", max_length=MAX_TEXT, exclude_if=lambda answer: not answer)
    """What a vision-language model was asked, and its words; files of other models lack both."""
    masks: int | None = None
    head: int | None = None
    prove: ProofSettings | None = Field(default=None, exclude_if=lambda settings: settings is None)
    """How one of its maps was proved; None: it was not, and files lack it."""
    checks: tuple[SavedChecks, ...] = Field(default=(), exclude_if=lambda checks: not checks)
    """Checks of the maps that have any; files lack it where none has."""
    device: Legible
    versions: dict[Legible, Legible]

    def check_repeatable(self) -> None:
        """Raise ModelProblem where a target is a function, which a recipe cannot hold, or there are too many."""
        if len(self.targets) > MAX_TARGETS:
            raise ModelProblem(f"The recipe has more than {MAX_TARGETS:,} maps: it was not made here.")
        if FUNCTION_TARGET in self.targets:
            raise ModelProblem(
                "The recipe's target is a function in Python, which it cannot hold: give it to an Explainer."
            )
