"""Measure pytorch-grad-cam's maps on drawn scenes, and slow methods.

The library gets networks of its own: built anew from the weights, with its own hooks, and nothing of the engine.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.case import FAST
from benchmarks.detectors.peers import Logits
from benchmarks.truth.maps import QUESTIONS, default, evidence_of, layers_of, resident, subjects
from benchmarks.truth.measures import MEASURES, box_of, measured
from benchmarks.truth.scores import Rows, Scores, named
from sightglass.explain.evidence.layers import as_map, find
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods import METHODS
from sightglass.explain.methods.from_evidence import raw_maps
from sightglass.explain.methods.method import Method
from sightglass.models.catalog import spec
from sightglass.models.checkpoints.weights import locate
from sightglass.models.families.demo.nets import trained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.bootstrap import Line
    from benchmarks.truth.maps import Subject
    from benchmarks.truth.measures import Map
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target
    from sightglass.models.layers import Layer

TWINS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
}
SIGNED = ("eigencam", "eigengradcam")
"""Whose sign the library leaves to the solver."""
LACKING = ("FEM", "SegEigenCAM", "RandomCAM")
SMOOTHED = {"eigen_smooth": "GradCAM, eigen_smooth", "aug_smooth": "GradCAM, aug_smooth"}


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the library's maps get, beside the engine's of the same objects."""

    model: str
    task: str
    scenes: list[int]
    labels: list[str]
    lines: tuple[tuple[str, str], ...]
    """Question, and the method as the library calls it."""
    differences: NDArray[np.float64]
    """(objects, lines) largest difference of a map 0..1 to the engine's; NaN where the engine has no such method."""
    own: NDArray[np.float64]
    """(objects, lines, measures) of the engine's map, NaN likewise."""
    theirs: NDArray[np.float64]


def agreement(model: str, folder: Path | None, numbers: Sequence[int]) -> Agreement:
    """Compare the maps of one object a scene, at both questions' layers and targets."""
    engine, layers = resident(model, folder), layers_of(model)
    defaults = {question: default(engine, question) for question in QUESTIONS}
    paths = list(dict.fromkeys(path for _, name, _ in defaults.values() for path in layers[name]))
    lines: list[tuple[str, str]] = []
    scenes, labels, rows = [], [], []
    for given in subjects(model, folder, numbers, paths):
        inside = box_of(given.thing.box, given.scene.pixels.shape[:2])
        row, lines = [], []
        for question, (_, name, part) in defaults.items():
            target, at = given.targets[part], layers[name]
            mask = (given.thing.mask, None) if question == "where" else (given.thing.cause, inside)
            for label, method, theirs in _theirs(model, folder, given, target, at):
                nearest = None if method is None else _nearest(given.evidence, method, target, at, theirs)
                own = [np.nan] * len(MEASURES) if nearest is None else measured(nearest[1], mask)[0]
                row.append([np.nan if nearest is None else nearest[0], *own, *measured(theirs, mask)[0]])
                lines.append((question, label))
        scenes.append(given.number)
        labels.append(given.thing.label)
        rows.append(row)
    count = len(MEASURES)
    found = np.array(rows, float).reshape(len(rows), len(lines), 1 + 2 * count)
    figures = found[..., 0], found[..., 1 : 1 + count], found[..., 1 + count :]
    return Agreement(named(model, folder), engine.adapter.spec.task, scenes, labels, tuple(lines), *figures)


def _nearest(
    evidence: Evidence, method: Method, target: Target, paths: tuple[str, ...], theirs: Map
) -> tuple[float, Map | None]:
    """Return how far the engine's map is from the library's, the nearer of one without a sign; and that map."""
    at = [[layer.path for layer in evidence.layers].index(path) for path in paths]
    raws = [raw_maps(evidence, method, [target])[i] for i in at]
    signs = list(itertools.product((1, -1), repeat=len(raws))) if method.id in SIGNED else [(1,) * len(raws)]
    made = [_shown(evidence, [raw * sign for raw, sign in zip(raws, chosen, strict=True)], target) for chosen in signs]
    differences = [float(np.abs((0 if one is None else one) - theirs).max()) for one in made]
    # Its own sign is the first.
    return min(differences), made[0]


def _shown(evidence: Evidence, raws: Sequence[torch.Tensor], target: Target) -> Map | None:
    (made,) = heatmaps(raws, [target], method="", layers=(), geometry=evidence.geometry, scale="own")
    return made.at_input if made.state == "ok" else None


@cache
def _net(model: str, folder: Path | None) -> torch.nn.Module:
    net = trained(model, folder or locate(spec(model)).parent)
    if model.startswith(("demo-cls", "demo-vit")):
        return net
    fused: Any = net
    # As the engine runs it: otherwise another rounding alone moves some of GradCAM++'s maps by 2e-3.
    return Logits(fused.fuse(verbose=False), yolox=False)


@cache
def _cam(model: str, folder: Path | None, kind: str, paths: tuple[str, ...]) -> Any:
    import pytorch_grad_cam

    net, layers = _net(model, folder), _described(model, folder, paths)
    inner: Any = net.inner if isinstance(net, Logits) else net
    reshape = None if layers[0].layout == "nchw" else lambda output: as_map(output, layers[0])
    return getattr(pytorch_grad_cam, kind)(net, [inner.get_submodule(path) for path in paths], reshape)


def _described(model: str, folder: Path | None, paths: tuple[str, ...]) -> tuple[Layer, ...]:
    engine = resident(model, folder)
    return find(engine, paths)


def _theirs(model: str, folder: Path | None, given: Subject, target: Target, paths: tuple[str, ...]) -> Any:
    """Yield a name, the engine's method if it has it, and the library's map (H, W) in 0..1."""
    # A fused network is frozen: the library's gradient has to come from somewhere.
    tensor, wanted = given.evidence.tensor.clone().requires_grad_(), [_wanted(target)]

    def made(kind: str, **options: Any) -> Map:
        with torch.enable_grad():
            found: Map = _cam(model, folder, kind, paths)(tensor, wanted, **options)[0]
        return found

    for method in (one for one in FAST if one.id in TWINS):
        yield TWINS[method.id], method, made(TWINS[method.id])
    np.random.seed(given.number)  # RandomCAM takes numpy's own generator.
    for kind in LACKING:
        yield kind, None, made(kind)
    if len(paths) == 1:
        # It multiplies the maps of several layers: those up to the given one.
        stages = [own[0] for own in layers_of(model).values() if len(own) == 1]
        same = _described(model, folder, paths)[0].layout
        before = stages[: stages.index(paths[0]) + 1]
        before = [path for path in before if _described(model, folder, (path,))[0].layout == same]
        with torch.enable_grad():
            yield "RefineCAM", None, _cam(model, folder, "RefineCAM", tuple(before))(tensor, wanted)[0]
    yield SMOOTHED["eigen_smooth"], None, made("GradCAM", eigen_smooth=True)
    if not target.anchors:
        # A candidate of a detector has another number where the picture is flipped or cut.
        yield SMOOTHED["aug_smooth"], None, made("GradCAM", aug_smooth=True)
        if target.part == "class":
            yield "SESS", None, made("SESS")


def _wanted(target: Target) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the target as the library has it, of one picture's logits: (K,), or (N, K) of a detector."""

    def scalar(logits: torch.Tensor) -> torch.Tensor:
        row = logits[target.anchors[0]] if target.anchors else logits
        if target.part == "class":
            return row[..., target.index]
        others = torch.arange(row.shape[-1]) != target.index
        return row[..., target.index] - row[..., others].logsumexp(-1)

    return scalar


def slow(model: str, folder: Path | None, numbers: Sequence[int]) -> Scores:
    """Score every method that runs the model again, at both questions' layers; they explain a class and no contrast."""
    engine, rows = resident(model, folder), Rows(model, folder)
    names = dict.fromkeys(default(engine, question)[1] for question in QUESTIONS)
    for given in subjects(model, folder, numbers, ()):
        made: dict[Line, Map | None] = {}
        target = given.targets["class"]
        for name in names:
            evidence = evidence_of(engine, given.scene, layers_of(model)[name])
            for method in _slow_methods(engine.adapter.spec.task, len(evidence.layers)):
                raws = method.run(evidence, [target]).maps
                made[method.id, "all layers" if method.id == "fullgrad" else name, "class"] = _shown(
                    evidence, raws, target
                )
        evidence = evidence_of(engine, given.scene, ())
        made["drise", "the answers alone", "class"] = _shown(
            evidence, METHODS["drise"].run(evidence, [target]).maps, target
        )
        rows.add(given, made)
    return rows.scores()


def _slow_methods(task: str, layers: int) -> list[Method]:
    return [
        method
        for method in METHODS.values()
        if method.family == "library"
        and (method.detectors or task == "classify")
        and (method.id != "shapleycam" or layers == 1)
        # It swaps a layer for one that does not know its place, which Ultralytics' models ask for.
        and (method.id != "ablationcam" or task == "classify")
    ]
