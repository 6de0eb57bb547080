"""The options of an explanation, and their validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, get_args

from common.errors import ModelProblem
from common.suggestions import did_you_mean
from models.adapter import Part
from models.geometry import Box
from models.preprocess import WAYS

Per = Literal["class", "detection", "picture"]
Scale = Literal["own", "shared"]
Within = Literal["picture", "inside", "shared", "each"]
"""Which part of a map is shown: all of it, or only the part `inside` its boxes, rescaled to 0..1 over all boxes
together (`shared`) or in `each` box separately."""
Wanted = int | str | tuple[int, int]
MAX_MASKS = 100_000
"""Far more than make a map better: they take 60 MB beside the passes."""
MAX_WORDS = 100
"""Of a vocabulary over HTTP and of a camera: a model reads them one by one before it looks."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a caller can choose; picture, model and options together make the recipe."""

    method: str | None = None
    """None: the model's default."""
    layers: tuple[str, ...] = ()
    """Dotted paths; empty: the model's default layers."""
    targets: tuple[Wanted, ...] = ()
    """Classes by index or label; with `per="detection"` boxes by their position among the predictions, all boxes of a
    label, or raw candidates as (anchor, class). Empty: the `top_k` best."""
    top_k: int = 5
    scale: Scale = "own"
    preprocessing: str = "trained"
    confidence: float = 0.25
    iou: float = 0.7
    per: Per = "class"
    """What one map covers: a class (all its boxes), one detection, or the whole picture."""
    part: Part = "class"
    """Which score is explained: the class, the class against the others, the box, ..."""
    ratio: float = 0.02
    """With `per="picture"`: the share of the strongest raw candidates that the map sums."""
    classes: tuple[int | str, ...] = ()
    """Detectors: show only boxes of these classes; empty: all."""
    within: Within = "picture"
    """Detectors: which part of a map is shown."""
    vocabulary: tuple[str, ...] = ()
    """Open-vocabulary models: the words to look for; empty: the model's own."""
    examples: tuple[tuple[Box, str], ...] = ()
    """YOLOE: boxes (xyxy in original pixels of this picture) of the objects to look for, each with a name."""
    masks: int | None = None
    """D-RISE: number of random masks (None: 800 for a detector, 1000 for a classifier). Occlusion: approximate number
    of windows (None: 196)."""
    head: int | None = None
    """Method Attention: one head, counted from 0; None: the mean of all."""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Options:
        """Build Options from what a caller passed; raises ModelProblem naming the first wrong value."""
        names = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(names)):
            hint = did_you_mean(unknown[0], names, f"choose from {', '.join(names)}.")
            raise ModelProblem(f"There is no option called {', '.join(unknown)}: {hint}")
        readers: dict[str, Callable[[Any], Any]] = {
            "targets": _sequence,
            "classes": _sequence,
            "layers": _layer_names,
            "vocabulary": _words,
            "examples": lambda pairs: tuple((tuple(box), str(name)) for box, name in pairs),
        }
        return cls(**{name: readers.get(name, lambda value: value)(value) for name, value in given.items()})

    def __post_init__(self) -> None:
        if not isinstance(self.top_k, Integral) or self.top_k < 1:
            raise ModelProblem(f"top_k is {self.top_k!r}: ask for a whole number of classes, one at least.")
        if self.scale not in get_args(Scale):
            raise ModelProblem(f"There is no scale called {self.scale}: use own or shared.")
        if not isinstance(self.preprocessing, str) or self.preprocessing not in WAYS:
            raise ModelProblem(f"There is no preprocessing called {self.preprocessing}: use one of {', '.join(WAYS)}.")
        for name, known in (("per", get_args(Per)), ("part", get_args(Part)), ("within", get_args(Within))):
            if getattr(self, name) not in known:
                raise ModelProblem(f"{name} is {getattr(self, name)!r}: use one of {', '.join(known)}.")
        if self.masks is not None and not (isinstance(self.masks, Integral) and 1 <= self.masks <= MAX_MASKS):
            raise ModelProblem(f"masks is {self.masks!r}: ask for a whole number of them, 1 to {MAX_MASKS:,}.")
        if self.head is not None and (not isinstance(self.head, Integral) or self.head < 0):
            raise ModelProblem(f"head is {self.head!r}: heads are counted from 0.")
        for name in ("confidence", "iou", "ratio"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= value <= 1):
                raise ModelProblem(f"{name} is {value}: it goes from 0 to 1.")


RECIPE_OPTIONS: tuple[str, ...] = (
    *("top_k", "scale", "preprocessing", "confidence", "iou", "per", "part", "ratio", "classes"),
    *("within", "vocabulary", "examples", "head"),
)
"""The options that a recipe stores unchanged; the others it stores as they were resolved."""


def _sequence(given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, Integral | str) else tuple(given)


def _words(given: Any) -> tuple[str, ...]:
    """Read `"cat, dog"` or a sequence of words."""
    words = given.split(",") if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(word, str) for word in words):
        raise ModelProblem(f"vocabulary is {given!r}: give words, as a list or with commas between them.")
    return tuple(word.strip() for word in words if word.strip())


def _layer_names(given: Any) -> tuple[str, ...]:
    """Read `16`, `"neck P3"`, or several of such names."""
    names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    for name in names:
        if not isinstance(name, Integral | str) or not str(name).replace(",", " ").strip():
            raise ModelProblem(
                f"layers is {given!r}: name a layer or a preset, or leave it out for the model's own choice."
            )
    return tuple(map(str, names))
