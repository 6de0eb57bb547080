"""Declare and validate what an explanation is asked."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

from sightglass.common import guide_words
from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import spell_value
from sightglass.models.adapter import Part
from sightglass.models.geometry import Box
from sightglass.models.preprocess import WAYS

Per = Literal["class", "detection", "picture", "region", "pixel"]
Scale = Literal["own", "shared"]
Side = Literal["for", "both"]
"""Which evidence a map shows: what speaks `for` its target, or `both` that and what speaks against it, with signs."""
Within = Literal["picture", "inside", "shared", "each"]
"""Which part of a map is shown: all of it, or only the part `inside` its boxes, rescaled to 0..1 over all boxes
together (`shared`) or in `each` box separately."""
Smooth = Literal["none", "flips"]
"""Whether a map is the mean of the picture's and its mirror image's."""
TargetSpec = int | str | tuple[int, int]
MAX_MASKS = 100_000
"""Far more than make a map better: they take 60 MB beside the passes."""
MAX_CORNERS = 200
"""Maximum corners of an area of a segmentation, so that it fits an address, a recipe and a command."""
MAX_TEXT = 4000
"""Maximum characters of a prompt or an answer."""
MAX_WORDS = 100
"""Maximum words of a vocabulary over HTTP and of a camera: a model reads each before it answers."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option's presentation: CLI flag, API schema, recipes and docs."""

    flag: str
    """Its names, and its value's placeholder: `--top-k -k N`."""
    verbs: str
    """Those of the command line that have it."""
    help: str
    """What it does, and what holds without it, as `--help` says it."""
    description: str = ""
    """What it does over HTTP, where that differs."""
    default: Any = None
    kind: type = str
    """Type of the value: int, float, str, or tuple."""
    least: float | None = None
    most: float | None = None
    range_error: str = "it goes from 0 to 1"
    """Ends the sentence about a number that is out of these bounds."""
    panel: str = "What the map shows"
    """Panel of the option in `--help`."""
    resolved: bool = False
    """Whether a recipe stores what it came to, instead of what was given."""
    rare: bool = False
    """Whether `--help` lists it among what few need."""

    def is_for(self, verb: str) -> bool:
        """Return whether a verb has it; `explain` includes its four aliases."""
        verbs = self.verbs.split()
        return verb in verbs or (verb == "explain" and not EXPLAINING.isdisjoint(verbs))

    def allows(self, value: Any) -> bool:
        """Return whether a value is within the option's bounds."""
        if self.least is None or value is self.default:
            return True
        is_number = isinstance(value, Integral if self.kind is int else Real) and not isinstance(value, bool)
        return is_number and self.least <= value and (self.most is None or value <= self.most)

    def check(self, value: Any, name: str) -> None:
        """Raise ModelProblem for a value out of the option's bounds.

        `name`: what the option is called.
        """
        if not self.allows(value):
            raise ModelProblem(f"{name} is {spell_value(value)}: {self.range_error}.")


def _option(default: Any, flag: str, verbs: str, help: str, default_text: str = "", **more: Any) -> Any:
    """Return a field of `Options` with its `Option`; `default_text`: the effective default."""
    if (default_text := default_text or str(default or "")) and "[" not in help:
        help += f" [{default_text}]."
    about = {"default": default, "kind": str if default is None else type(default)} | more
    return field(default=default, metadata={"option": Option(flag, verbs, help, **about)})


_MAPS, _MOST = "image class detect", "image class detect segment batch video compare prove"
MODEL, BOXES, OUTPUT = "Model", "Boxes", "Output"
"""Panels of `--help`."""
EXPLAINING = frozenset(("image", "class", "detect", "segment"))
"""Verbs of which `explain` is all in one."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a caller can choose; picture, model and options together make the recipe.

    The flags of the command line, the API's schema, the call that a recipe is printed as, and the table in
    docs/api.md follow from what is declared here.
    """

    method: str | None = _option(
        None, "--method NAME", _MOST, "gradcam, layercam, occlusion, ...", "the model's default", resolved=True
    )
    layers: tuple[str, ...] = _option(
        (),
        "--target-layers PATH,PATH",
        "image class detect segment batch video prove which similarity",
        "Layers to explain at; `models layers ID` lists them.",
        resolved=True,
    )
    targets: tuple[Any, ...] = _option(
        (),
        "--class -c NAME|INDEX",
        "image class detect segment batch video compare",
        "Explain this class, not the best; may be repeated.",
        description="Classes by index or label; for single detections, boxes by index from 0, all boxes of a label, "
        "or raw candidates as [anchor, class]; none: the `top_k` best.",
        resolved=True,
    )
    top_k: int = _option(
        5,
        "--top-k -k N",
        "image class detect segment",
        "Number of best predictions that get a map",
        least=1,
        range_error="ask for a whole number of classes, one at least",
    )
    scale: Scale = _option(
        "own",
        "--scale own|shared",
        "image detect segment compare",
        "Scale a map to its own maximum or that of all maps [own].",
        rare=True,
    )
    preprocessing: str = _option(
        "trained",
        "--preprocessing NAME",
        f"{_MOST} which similarity",
        "Fit of the picture: trained, crop, squash, letterbox, half or negative",
        rare=True,
        panel=MODEL,
    )
    confidence: float = _option(
        0.25,
        "--score-thr 0..1",
        "detect batch video compare prove which",
        "Hide boxes with a lower score",
        least=0,
        most=1,
        panel=BOXES,
    )
    iou: float = _option(
        0.7,
        "--iou 0..1",
        "detect",
        "Drop the weaker of two boxes that overlap more",
        rare=True,
        least=0,
        most=1,
        panel=BOXES,
    )
    per: Per = _option("class", "--per WHAT", "detect segment", "A class, detection, picture, region or pixel [auto].")
    """What one map covers: a class (all its boxes or pixels), one detection, the whole picture, or of a segmentation
    one connected region or one pixel."""
    at: tuple[float, ...] = _option(
        (),
        "--at X,Y[,X,Y]",
        "image segment",
        "A point, a rectangle or an area of a segmentation or depth.",
        description="For a segmentation or a depth: a point (x, y), a rectangle xyxy, or the corners of an area (x, y, "
        "x, y, x, y and more), in original pixels; with per=region the region there, with per=pixel that pixel.",
        kind=str,
    )
    """Part of a segmentation: a point (x, y), a rectangle (xyxy) or an area's corners in original pixels; empty: the
    whole picture. Pixels that an area's outline goes around twice are outside of it, so that it may have holes."""
    against: int | str | None = _option(
        None,
        "--against CLASS|X,Y",
        "image segment",
        "Why the class and not this one; of a depth, not there.",
        rare=True,
        description="For a segmentation: another class, which the explained one is weighed against in the same pixels; "
        "for a depth another place, as x,y or x,y,x,y.",
    )
    joint: str | None = _option(
        None,
        "--joint 'NAME x|y|visibility'",
        "detect",
        "Of a pose: one number of a joint, such as 'left wrist x'.",
        rare=True,
    )
    part: Part = _option(
        "class",
        "--part NAME",
        "image class detect segment batch video prove which",
        "The class, contrast, box, left, ..., mask or all [class].",
    )
    evidence: Side = _option("for", "--evidence for|both", _MOST, "What speaks for the target, or both for and against")
    smooth: Smooth = _option(
        "none",
        "--smooth none|flips",
        "image class batch",
        "flips: the mean with the map of the mirrored picture [none].",
        rare=True,
    )
    ratio: float = _option(
        0.02, "--ratio 0..1", "detect", "Per picture: the share of strongest candidates", rare=True, least=0, most=1
    )
    classes: tuple[int | str, ...] = _option(
        (), "--only CLASS", "detect", "Drop boxes of other classes; may be repeated.", rare=True, panel=BOXES
    )
    within: Within = _option(
        "picture",
        "--within WHERE",
        "detect",
        "Where a map is shown: picture; inside boxes; there rescaled shared or each",
        rare=True,
        panel=OUTPUT,
    )
    vocabulary: tuple[str, ...] = _option(
        (),
        "--words 'A, B'",
        "image class detect batch video prove which",
        "What an open-vocabulary model should look for.",
        panel=MODEL,
    )
    """Open-vocabulary models: the words to look for; empty: the model's own."""
    examples: tuple[tuple[Box, str], ...] = _option(
        (),
        "--example X,Y,X,Y=NAME",
        "detect",
        "A box around what a YOLOE model should look for.",
        rare=True,
        panel=MODEL,
    )
    """YOLOE: boxes (xyxy in original pixels of this picture) of the objects to look for, each with a name."""
    prompt: str = _option(
        "",
        "--prompt TEXT",
        "image class compare prove",
        "What a vision-language model is asked.",
        "Describe the picture.",
        panel=MODEL,
    )
    answer: str = _option(
        "",
        "--answer TEXT",
        "image class compare prove",
        "The answer to explain, not the model's own.",
        "generated",
        panel=MODEL,
    )
    masks: int | None = _option(
        None,
        "--masks N",
        _MAPS,
        "Number of masks for RISE and D-RISE",
        "800; 1000 for a classifier",
        rare=True,
        kind=int,
        least=1,
        most=MAX_MASKS,
        range_error=f"ask for a whole number of them, 1 to {MAX_MASKS:,}",
        resolved=True,
    )
    """D-RISE: number of random masks (None: 800 for a detector, 1000 for a classifier). Occlusion: approximate number
    of windows (None: 196)."""
    head: int | None = _option(
        None,
        "--head N",
        _MAPS,
        "Of an attention method: one head, counted from 0 [all].",
        rare=True,
        kind=int,
        least=0,
        range_error="heads are counted from 0",
    )

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Build Options by name; raises ModelProblem for the first wrong value."""
        return cls(**read_values(options))

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_names()
        if self.against is not None and parse_other_place(self.against) is None:
            object.__setattr__(self, "part", "contrast")
        if self.joint is not None:
            self._explain_jointly()
        for name in ("prompt", "answer"):
            text = getattr(self, name)
            if not isinstance(text, str) or len(text) > MAX_TEXT:
                raise ModelProblem(f"{name} is no text of at most {MAX_TEXT} characters: give a shorter sentence.")
        if self.per == "pixel" and len(self.at) > 2:
            shape = "a rectangle" if len(self.at) == 4 else "an area"
            raise ModelProblem(f"at is {shape}: one pixel is at a point (x, y).")
        for name, option in OFFERED.items():
            option.check(getattr(self, name), name)

    def _check_choices(self) -> None:
        kinds = {"scale": Scale, "evidence": Side, "smooth": Smooth, "per": Per, "part": Part, "within": Within}
        choices = {name: get_args(kind) for name, kind in kinds.items()} | {"preprocessing": tuple(WAYS)}
        for name, known in choices.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ModelProblem(f"{name} is {value!r}: use one of {', '.join(known)}.")

    def _check_names(self) -> None:
        kinds: dict[str, Any] = {"method": str, "against": str | Integral, "joint": str}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind | None):
                raise ModelProblem(f"{name} is {value!r}: give a name, or leave it out.")

    def _explain_jointly(self) -> None:
        """Set what `joint` implies; raise ModelProblem where another option contradicts it."""
        if self.per == "picture":
            raise ModelProblem("joint is one number of one detection: leave per=picture out.")
        if self.part not in ("class", "signed", "lowers"):
            raise ModelProblem(f"joint is one number of one detection: leave part={self.part} out.")
        object.__setattr__(self, "per", "detection")
        if self.part == "class":
            object.__setattr__(self, "part", "signed")


QUESTION = Option(
    "--question -q where|why",
    _MOST,
    "Where is it, or why this class rather than another?",
    description="Where is it, or why this class rather than another: sets part, method and layers together; any of "
    "them given explicitly takes precedence.",
)
"""What a caller can give besides: see `explain.questions`."""
OFFERED: Mapping[str, Option] = MappingProxyType({field.name: field.metadata["option"] for field in fields(Options)})
"""How each option is offered, by its name."""
RECIPE_OPTIONS = tuple(name for name, option in OFFERED.items() if not option.resolved)
"""The options that a recipe stores unchanged; the others it stores as they were resolved."""


OF_MODEL = ("model", "preprocess", "labels", "name", "arch", "task", "output", "unit", "outputs", "device")
"""What is said of a model, when an Explainer is made."""
OF_DRAWING = ("colormap", "alpha", "mode")
"""What is said of a picture under its map."""
_ELSEWHERE = {name: f"give it to the Explainer, as Explainer(model, {name}=...)" for name in OF_MODEL}
_ELSEWHERE |= {"model": "give it to the Explainer, as Explainer(model)"}
_ELSEWHERE |= {name: f"give it to the drawing, as result.overlay({name}=...)" for name in OF_DRAWING}


def read_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of some options as `Options` holds them.

    Raises ModelProblem for the first wrong one.
    """
    check_names(options)
    readers: dict[str, tuple[Callable[[Any], Any], str]] = {
        "targets": (_sequence, "give classes by index or label, or candidates as [anchor, class]"),
        "classes": (_sequence, "give classes by index or label"),
        "layers": (_layer_names, "name a layer or a preset, or leave it out for the model's own choice"),
        "vocabulary": (_parse_vocabulary, "give words, as a list or with commas between them"),
        "examples": (_parse_examples, "give each box as x, y, x, y, and its name"),
        "at": (_parse_at, "give a point x, y or a rectangle x, y, x, y in pixels of the picture"),
    }
    values = dict(options)
    for name, (read, form) in readers.items():
        if name not in options:
            continue
        try:
            if isinstance(value := options[name], Mapping | bytes):
                raise TypeError
            values[name] = read(value)
        except ModelProblem:
            raise
        except (TypeError, ValueError) as error:
            raise ModelProblem(f"{name} is {value!r}: {form}.") from error
    return values


def check_names(options: Mapping[str, Any]) -> None:
    """Raise ModelProblem for the first name that is no option."""
    unknown = sorted(set(options) - OFFERED.keys())
    if unknown:
        hint = guide_words.advise(unknown[0], tuple(OFFERED), _ELSEWHERE)
        raise ModelProblem(f"There is no option called {', '.join(unknown)}: {hint}")


def _sequence(value: Any) -> tuple[Any, ...]:
    """Read one class or several; None is the predicted class."""
    value = value.tolist() if hasattr(value, "tolist") else () if value is None else value
    items = (value,) if isinstance(value, Integral | str) or callable(value) else tuple(value)
    for item in items:
        anchor, index = item if isinstance(item, tuple | list) else (0, item)
        if not isinstance(anchor, Integral) or not (isinstance(index, Integral | str) or callable(index)):
            raise TypeError
    return items


def _parse_vocabulary(value: Any) -> tuple[str, ...]:
    """Read `"cat, dog"` or a sequence of words."""
    return tuple(filter(None, map(str.strip, value.split(",") if isinstance(value, str) else value)))


def _parse_examples(value: Any) -> tuple[Any, ...]:
    """Read boxes xyxy with their names."""
    pairs = tuple((tuple(box), str(name)) for box, name in value)
    if not all(len(box) == 4 and all(map(math.isfinite, box)) and name.strip() for box, name in pairs):
        raise ValueError
    return pairs


def _parse_at(value: Any) -> tuple[float, ...]:
    """Parse a point, a rectangle xyxy, or an area's corners."""
    place = tuple(map(float, value.split(",") if isinstance(value, str) and value else tuple(value or ())))
    if len(place) % 2 or not all(map(math.isfinite, place)):
        raise ValueError
    if len(place) > 2 * MAX_CORNERS:
        raise ModelProblem(f"at has {len(place) // 2} corners: give {MAX_CORNERS} at most.")
    if len(place) == 4:
        (x0, x1), (y0, y1) = sorted(place[::2]), sorted(place[1::2])
        return x0, y0, x1, y1
    return place


def parse_other_place(against: int | str | None) -> tuple[float, ...] | None:
    """Return the place in `against`, or None for a class."""
    if not isinstance(against, str) or "," not in against:
        return None
    try:
        return _parse_at(against)
    except (ModelProblem, ValueError):
        return None


def _layer_names(value: Any) -> tuple[str, ...]:
    """Read `16`, `"neck P3"`, or several of such names."""
    names = (value,) if isinstance(value, Integral | str) else tuple(value)
    if not all(isinstance(name, Integral | str) and str(name).replace(",", " ").strip() for name in names):
        raise ValueError
    return tuple(map(str, names))
