"""The type of a method and its run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from sightglass.common.errors import ModelProblem
from sightglass.explain.tasks import task_of
from sightglass.models.layers import add_resized, spread, straighten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.common.work.progress import Progress
    from sightglass.explain.backward.gradient import Activation, Gradient
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target
    from sightglass.models.layers import Layer

Family = Literal[
    "gradient",
    "eigen",
    "noise",
    "attention",
    "query",
    "library",
    "pixel",
    "sharp",
    "tested",
    "path",
    "mask",
    "control",
]
"""`gradient`: quick, from activations and gradients; also for similarity. `eigen`: quick, not for similarity. `noise`:
from gradients of noisy pictures. `control`: quick and random, to compare other maps with.
`attention`: of transformers whose attention is recorded. `query`: of detectors whose boxes are queries. `library`:
through the grad-cam library. `path`: gradients between a layer's mean and its output. `pixel`: gradients of the
input's pixels, through captum. `sharp`: a few of them, weighed by layers. `tested`: several maps, and the model's
answers with parts covered. `mask`: slow, from the model's answers alone."""
RUNNERS: dict[Family, str] = {
    "attention": "attention",
    "query": "attention",
    "library": "grad_cam_library",
    "pixel": "pixel_gradients",
    "sharp": "sharp",
    "tested": "tested",
    "path": "path",
    "mask": "rise",
}
"""Modules here whose `run` returns RawMaps of (evidence, method, targets, request); of other families: `gradient`."""
OF_MODULES: tuple[Family, ...] = ("attention", "query", "library", "pixel", "sharp", "tested", "path")
"""Families that look into modules: of a received model they run where it does."""
CHOOSY: tuple[Family, ...] = ("attention", "query", "library", "pixel", "path")
"""Families that do not take every model: what they refuse does not depend on what was found in a picture."""
HEADED: tuple[Family, ...] = ("attention", "query")
"""Families whose methods have heads."""
GUIDED = ("guidedbackprop", "guidedgradcam")
"""Methods that guide the gradient through the model's ReLUs."""
GROUPS: dict[Family, str] = {
    "gradient": "CAM",
    "eigen": "CAM",
    "noise": "CAM",
    "library": "CAM",
    "attention": "Transformers",
    "query": "Transformers",
    "path": "CAM",
    "pixel": "Gradients of pixels",
    "sharp": "Gradients of pixels",
    "mask": "Hide and see",
    "tested": "Hide and see",
    "control": "Controls",
}
"""Headings of a list of methods, in its order."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of the maps that were tested, and what its tests found."""

    name: str
    """`GradCAM`, or `LayerCAM, contrast`."""
    values: NDArray[np.float32]
    """float32 (h, w) over the content of the model's input, 0..1, at most 96 cells a side."""
    covered: tuple[float, ...]
    """What is left of the target's number with the hottest shares covered, 0..1 of its difference to the mean colour
    alone, one for each share; NaN where there is no such difference, as of a picture of one colour."""
    kept: tuple[float, ...]
    """What is left with nothing else kept, in the same unit."""
    weight: float
    """Its share of the mix, 0..1."""

    @property
    def score(self) -> float:
        """How much more is left by keeping it than by covering it, -1..1.

        NaN where it cannot be told.
        """
        return (sum(self.kept) - sum(self.covered)) / len(self.kept)


@dataclass(frozen=True, slots=True)
class RawMaps:
    """What a method computed."""

    maps: Sequence[Tensor]
    """One (k, h, w) per layer for k targets, signed, neither clipped nor scaled, on the model's device."""
    layers: tuple[str, ...]
    """What each of the maps was computed at."""
    notes: tuple[str, ...] = ()
    """Sentences to show beside the map."""
    candidates: tuple[tuple[Candidate, ...], ...] = ()
    """The maps that were tested for each target, by the method `tested`."""


@dataclass(frozen=True, slots=True)
class Request:
    """The settings of one run that not every method reads."""

    masks: int | None = None
    head: int | None = None
    progress: Progress | None = None
    partial: Callable[[RawMaps], None] | None = None
    """Called about once a second with the unfinished maps of a method that refines them."""
    flips: bool = False
    """Whether the maps are averaged with those of the mirrored picture."""

    def report(self, done: int, total: int, words: str) -> None:
        """Report progress; a run is never reported as finished."""
        if self.progress is not None:
            self.progress(min(done / total, 0.99), words)


@dataclass(frozen=True, slots=True)
class Method:
    """One way of turning what a model computed into a map."""

    id: str
    name: str
    """As in its paper."""
    about: str
    """A few words for a menu."""
    family: Family
    paper: str
    compute_name: str = ""
    """The function in explain.methods.gradient of a quick method: from one layer's Activation and one target's
    Gradient there to one signed map (h, w)."""
    passes: int | Literal["channels"] = 0
    """Forward passes of the model for one class, roughly."""
    gradients: bool = True
    """False where activations alone are enough."""
    linear: bool = False
    """Whether the map of the negated scalar is the negated map."""
    signed: bool = False
    """Whether its values have a sign that says which way: positive ones raise the score, negative ones lower it. A
    quick method that is not linear weighs both ways by themselves: its signed map is the difference of the two."""
    per_class: bool = True
    """False where the map is the same for every class: it shows what stands out, not what speaks for the class."""
    detectors: bool = True
    """False where it explains classifiers only."""
    reads: bool = False
    """Whether it shows what was read for a box, which is no evidence that it decided."""
    weighed: bool = False
    """Whether its map at the pixels is weighed by maps at layers, which can be chosen."""
    otherwise: str = ""
    """Its name in the paper on other models than detectors, where that is another."""

    def name_for(self, task: str) -> str:
        """Return its name on a model of a task: D-RISE is RISE of all but detectors."""
        return self.name if task_of(task).explains("detection") else self.otherwise or self.name

    @property
    def group(self) -> str:
        """The heading that it is listed under."""
        return GROUPS[self.family]

    @property
    def shows(self) -> str:
        """What its map shows where that is no evidence for a class, else empty."""
        if self.family == "control":
            return "what random weights of the channels give"
        return "what the box's query read" if self.reads else "" if self.per_class else "what stands out to the model"

    @property
    def quick(self) -> bool:
        """Whether it needs only Evidence, and at most three passes from a layer on."""
        return bool(self.compute_name) or self.family == "path"

    @property
    def at_layers(self) -> bool:
        """Whether its map is taken at layers of the model, which can be chosen."""
        return self.family not in ("pixel", "sharp", "tested", "mask")

    @property
    def layers_optional(self) -> bool:
        """Whether it makes a map without layers, where gradients reach the picture."""
        return self.family in ("sharp", "tested")

    @property
    def hides(self) -> bool:
        """Whether parts of the picture are hidden to make its map."""
        return self.family in ("tested", "mask")

    @property
    def slow(self) -> bool:
        """Whether it runs the model so often that pages show progress."""
        return self.passes == "channels" or (self.family not in ("attention", "path", "sharp") and self.passes > 1)

    @property
    def compute(self) -> Callable[[Activation, Gradient], Tensor]:
        """The function of a quick method."""
        return _load("gradient", self.compute_name)  # type: ignore[no-any-return]

    def run(self, evidence: Evidence, targets: Sequence[Target], request: Request | None = None) -> RawMaps:
        """Compute the raw maps of some targets at the evidence's layers.

        Each is on an even grid over the input. Without targets there is no map, and ModelProblem for a model that the
        method does not take.
        """
        request = request or Request()
        if not targets and self.family not in CHOOSY:
            return RawMaps([], ())
        if request.flips and targets:
            return _load("gradient", "average_flips")(evidence, self, targets, request)  # type: ignore[no-any-return]
        if evidence.received is not None and self.family in OF_MODULES:
            return evidence.received.run_method(self, targets, request)
        if self.at_layers or self.weighed:
            evidence.locate()
        self._check(evidence, targets, request)
        if not targets:
            return RawMaps([], ())
        raw: RawMaps = _load(RUNNERS.get(self.family, "gradient"), "run")(evidence, self, targets, request)
        # Maps of attention are where their keys are.
        return raw if self.family == "attention" else _place(raw, evidence.layers)

    def _check(self, evidence: Evidence, targets: Sequence[Target], request: Request) -> None:
        """Raise ModelProblem for a model that the method does not take, in any picture."""
        if self.family in ("library", "path"):
            self._require_plain_input(evidence.layers)
        if self.family in CHOOSY and self.family != "path":
            _load(RUNNERS[self.family], "check_model")(evidence, self, targets, request)

    def _require_plain_input(self, layers: Sequence[Layer]) -> None:
        does = "makes several pictures of one" if any(layer.views for layer in layers) else ""
        does = "turns the picture" if any(layer.frame for layer in layers) else does
        if does:
            raise ModelProblem(f"{self.name} cannot be made of a forward that {does}: use LayerCAM or HiResCAM.")


def _place(raw: RawMaps, layers: Sequence[Layer]) -> RawMaps:
    """Return raw maps of layers on even grids over the input."""
    if raw.layers == tuple(layer.path for layer in layers):
        by_path = place_views(raw.maps, layers)
        return replace(raw, maps=[*by_path.values()], layers=tuple(by_path))
    known = {layer.path: layer for layer in layers}
    maps = [_on_input(maps, known.get(path)) for maps, path in zip(raw.maps, raw.layers, strict=True)]
    return replace(raw, maps=maps)


def _on_input(maps: Tensor, layer: Layer | None) -> Tensor:
    """Return a layer's maps on an even grid over the input, or on its own whose place `Geometry.covers` says."""
    if layer is None or layer.keeps_cells:
        return maps
    even = spread(maps, layer.cover)
    return even if layer.frame is None else straighten(even, layer.frame)


def place_views(maps: Sequence[Tensor], layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Return maps (k, h, w) on even grids over the input, by their layers' paths.

    A layer's maps of the several pictures that forward makes of one are added up, each in its place.
    """
    by_path: dict[str, list[Tensor]] = {}
    for each, layer in zip(maps, layers, strict=True):
        by_path.setdefault(layer.path, []).append(_on_input(each, layer))
    return {path: add_resized(views) for path, views in by_path.items()}


def _load(module: str, function: str) -> Any:
    # Only when it is run: the table is read without torch.
    return getattr(import_module(f"sightglass.explain.methods.{module}"), function)
