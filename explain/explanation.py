"""One picture explained by one model."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightglass.common.arguments import called_as
from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.common.lazy import lazy_import
from sightglass.common.work.progress import Progress, stopped_by
from sightglass.explain.evidence.determinism import own_modes
from sightglass.explain.evidence.evidence import ON_CPU, ON_GPU, Evidence, backward, run_pass
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.maps import boxes
from sightglass.explain.maps.heatmap import Heatmap, heatmaps
from sightglass.explain.methods import gradient
from sightglass.explain.methods import method as find_method
from sightglass.explain.methods.method import HEADED, Family, Method, RawMaps, Request
from sightglass.explain.options import OFFERED, Options, TargetSpec, read_values
from sightglass.explain.phrases import listing
from sightglass.explain.picture.image import Image
from sightglass.explain.result import Result
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import Finding
from sightglass.explain.trust.checks import Checks, run_checks
from sightglass.explain.trust.diagnosis import diagnose
from sightglass.explain.trust.proof import Proof
from sightglass.explain.trust.support import prove
from sightglass.models.adapter import Target
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.preprocess import INFERRED, READY, UNSTATED_FIT
from sightglass.models.spec import FINE_METHOD

LOGGER = logging.getLogger(__name__)

OF_FUNCTION = "The target is a function in Python, so its recipe cannot make this map again."
"""The note on a map of a function."""
UNSEEN = "{fine} shows nothing in the pixels of this picture, so its map is by {usual}."
"""The note on the map of a model whose usual method at few cells shows nothing."""
FUNCTIONS: tuple[Family, ...] = ("gradient", "eigen", "noise", "pixel", "sharp", "tested", "control")
"""Families of methods that explain a function of the model's outputs."""
OF_BOXES = ("confidence", "iou", "ratio", "within")
"""Options that change nothing without boxes."""
OF_PASS = ("layers", "preprocessing", "vocabulary", "examples")
"""Options that a pass of the model depends on."""
FIGURES = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "svg": "svg", "pdf": "pdf"}
"""The kind of figure by the ending of its file."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Result):
    """The predictions of a model for a picture, with their heatmaps.

    The `with_` methods reuse its Evidence, so quick methods, other targets and options need no model pass.

    >>> from sightglass import Explainer
    >>> explanation = Explainer()("bus.jpg", top_k=2)
    >>> explanation.with_method("hirescam").heatmaps[0].method, explanation.overlay().shape
    ('hirescam', (1080, 810, 3))
    """

    input_notes: tuple[str, ...] = field(default=(), repr=False)
    """Those of `notes` that hold for other options too: on how the picture was decoded, and on the device."""

    @property
    def diagnosis(self) -> tuple[Finding, ...]:
        """The limitations of the first map, most serious first, proof included."""
        return diagnose(self)

    @called_as("with_method(name)")
    def with_method(
        self, name: str, *, progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> "Explanation":
        """Explain the same targets by another method, by id or paper name.

        Raises ModelProblem for an unknown method, and for one that cannot explain this model.
        """
        return self._rerun(replace(self.options, method=find_method(name).id), progress, cancel)

    @own_modes()
    def with_methods(self, *names: str) -> "tuple[Explanation, ...]":
        """Explain the same targets by several methods, with shared gradients."""
        methods = [find_method(name) for name in names]
        gradient.compute(
            self.evidence,
            [method for method in methods if method.compute_name],
            [heatmap.target for heatmap in self.heatmaps],
        )
        return tuple(self.with_method(method.id) for method in methods)

    @called_as("with_targets(5, 'cat')", {"targets": "give them without a name"})
    def with_targets(self, *targets: TargetSpec | Callable[[Any], Any]) -> "Explanation":
        """Explain other targets by the same method, as in `Options.targets`, or functions of the model's outputs."""
        return self._rerun(replace(self.options, targets=targets), None, None)

    def with_options(self, **changed: Any) -> "Explanation":
        """Explain again with other options, not `OF_PASS`, for which it raises ModelProblem."""
        values = read_values(changed)
        if names := [name for name in OF_PASS if name in values]:
            raise ModelProblem(f"Other {listing(names)} need a model pass: call the Explainer with the picture.")
        return self._rerun(replace(self.options, **values), None, None)

    def with_object(self, *areas: Any) -> "Explanation":
        """Set the object's area, for `diagnosis` of evidence outside of it.

        `areas`: rectangles (x0, y0, x1, y1) in pixels of the picture, or masks (H, W) and files of masks, bright where
        the object is. Raises ModelProblem for anything else.
        """
        masks = [boxes.to_mask(area, self.image.width, self.image.height) for area in areas]
        result = replace(self, object_mask=np.logical_or.reduce(masks) if masks else None)
        return result.with_tests(self._checks, self._proofs)

    def _rerun(self, options: Options, progress: Progress | None, cancel: threading.Event | None) -> "Explanation":
        method = method_of(self.evidence.loaded, options)
        if not method.quick or not self.evidence.is_located:
            self.evidence.require_current()
        notes = self.input_notes
        explanation = explain(
            self.image, self.evidence, options, notes=notes, milliseconds={}, progress=progress, cancel=cancel
        )
        return replace(explanation, object_mask=self.object_mask)

    def prove(self, index: int | str = 0, **options: Any) -> Proof:
        """Hide or keep a map's hottest shares and measure the answer.

        Takes the options of `explain.trust.support.prove`: steps, fillings, progress, cancel. The proof
        is also in `proofs`, so that reports and records made of this explanation afterwards carry it.
        """
        self.evidence.require_current()
        proof = prove(self, index, **options)
        self._proofs[self._place(index)] = proof
        return proof

    def checks(self, index: int | str = 0, **options: Any) -> Checks:
        """Run the trust checks on a map, with up to 100 passes.

        Takes the options of `explain.trust.checks.run_checks`: progress, cancel, partial. Files that are made of
        this explanation afterwards carry it; a second call returns it.
        """
        if (place := self._place(index)) not in self._checks:
            self.evidence.require_current()
            self._checks[place] = run_checks(self, place, **options)
        return self._checks[place]

    @called_as("save(path)")
    def save(self, path: str | Path) -> Path:
        """Write all files of the explanation into a folder.

        The layout is the command line's; all files are written, or none. A path that ends in .png, .jpg, .svg
        or .pdf is a file instead, which gets the figure of the first map, and one in .html gets the report of all maps.
        Returns the path. Raises OSError, or ModelProblem for a folder's path that is a file.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind == "html" and not path.is_dir():
            path.write_text(lazy_import("html_report").html([self]), "utf-8")
        elif kind in FIGURES and not path.is_dir():
            path.write_bytes(lazy_import("figure").figure(self, format=FIGURES[kind]))
        else:
            lazy_import("result_folder").save(self, path)
        return path

    def _repr_html_(self) -> str | None:
        """Return the interactive report for notebooks; None without a map."""
        html: str | None = lazy_import("html_report").frame([self]) if self.heatmaps else None
        return html

    def to_dict(self) -> Json:
        """Return predictions, statistics, findings and recipe as plain values, ready for JSON.

        The fields are those of `analysis_summary.json` and of the API's answers.
        """
        values: dict[str, Any] = lazy_import("results").Explained.build(self).to_dict()
        return values


@own_modes()
def explain(
    image: Image,
    evidence: Evidence,
    options: Options,
    *,
    milliseconds: dict[str, float],
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    partial: Callable[[Explanation], None] | None = None,
    maps: bool = True,
    drawn: tuple[Heatmap, ...] = (),
) -> Explanation:
    """Decode predictions and compute heatmaps from Evidence.

    `notes`: on the picture and the device. `partial` is called about once a second with the unfinished explanation of a
    method that refines its map (D-RISE). `maps` False: predictions only. `drawn`: the targets' heatmaps, where they
    were computed before.
    """
    method = _method_for(evidence, options)
    start = time.perf_counter()
    adapter = evidence.loaded.adapter
    spec, decoder = adapter.spec, task_of(adapter).decoder
    options = decoder.resolved_options(options, adapter)
    predictions = decoder.decode(evidence, options)
    targets = decoder.resolve(options, predictions, evidence) if maps else []

    def assemble(raw: RawMaps, *, finished: bool = True) -> Explanation:
        elapsed = (time.perf_counter() - start) * 1e3
        scaled = drawn or _scale(raw, targets, method, options, evidence.geometry)
        # Where layers lie in this picture is known once the maps are made.
        limits = (*_describe_limits(evidence, method, options), *decoder.unshown(options, targets, evidence))
        idle = _describe_idle_layers(evidence, raw, method, options)
        all_notes = tuple(dict.fromkeys((*notes, *limits, *idle, *raw.notes)))
        timings = {"prepare": 0.0, "model": 0.0} | milliseconds | {"maps": elapsed}
        result = Explanation(
            image, spec, predictions, scaled, options, evidence, timings, all_notes, finished, input_notes=notes
        )
        if options.within == "picture":
            return result
        confined = tuple(boxes.confine(heatmap, result.own(i), options.within) for i, heatmap in enumerate(scaled))
        return replace(result, heatmaps=confined)

    if not targets and maps:
        method.run(evidence, (), Request(head=options.head))
    if not targets or drawn:
        return assemble(RawMaps([], ()))
    unfinished = None if partial is None else lambda raw: partial(assemble(raw, finished=False))
    with stopped_by(cancel):
        request = Request(options.masks, options.head, progress, unfinished, options.smooth == "flips")
        method, raw = _run(evidence, method, targets, request, options)
    return assemble(raw)


def _run(
    evidence: Evidence, method: Method, targets: Sequence[Target], request: Request, options: Options
) -> tuple[Method, RawMaps]:
    """Return a method and its raw maps.

    Where a fine method that nobody chose shows nothing, they are the usual CAM's.
    """
    if options.method or method.id != FINE_METHOD:
        return method, method.run(evidence, targets, request)
    try:
        raw = method.run(evidence, targets, request)
        if any(bool(maps.any()) for maps in raw.maps):
            return method, raw
    except ModelProblem:
        LOGGER.info("%s: no %s map of a picture", evidence.loaded.adapter.spec.id, method.name, exc_info=True)
    usual = find_method(evidence.loaded.adapter.spec.method)
    raw = usual.run(evidence, targets, request)
    return usual, replace(raw, notes=(*raw.notes, UNSEEN.format(fine=method.name, usual=usual.name)))


def _describe_limits(evidence: Evidence, method: Method, options: Options) -> tuple[str, ...]:
    """Return sentences on the model and its pass, on options that the method does not read, and on the target."""
    notes = [*_describe_model(evidence, options), *evidence.remarks, *_describe_hiding(evidence.loaded, method)]
    ignored = {
        f"head={options.head}": options.head is not None and method.family not in HEADED,
        f"masks={options.masks}": options.masks is not None and method.family != "mask",
        "evidence=both": options.evidence == "both" and not method.signed,
    }
    notes += [f"{option} has no effect with this method." for option, is_idle in ignored.items() if is_idle]
    notes += _describe_idle_boxes(evidence, options)
    return (*notes, *[OF_FUNCTION] * any(map(callable, options.targets)))


def _describe_hiding(loaded: LoadedModel, method: Method) -> list[str]:
    """Say why parts are hidden, where no layer could be read."""
    measured = loaded.adapter.gradients and not (loaded.gradients or loaded.adapter.takes_prompt)
    if not measured or method.family != "mask":
        return []
    lacks = "was measured to have a place in the picture" if loaded.survey.unplaced else "returns a map"
    lacks = "can be recorded" if loaded.survey.in_transform else lacks
    return [f"None of its layers {lacks}: maps come from hiding parts of the picture."]


def _describe_model(evidence: Evidence, options: Options) -> tuple[str, ...]:
    """Return the adapter's notes, without those on a preprocessing where there was none."""
    notes = evidence.loaded.adapter.notes
    if options.preprocessing != READY:
        return notes
    return tuple(note for note in notes if not note.startswith((INFERRED, UNSTATED_FIT)))


def _describe_idle_boxes(evidence: Evidence, options: Options) -> list[str]:
    """Return sentences on options of boxes that change nothing here."""
    given = {name: getattr(options, name) for name in OF_BOXES if getattr(options, name) != OFFERED[name].default}
    if not task_of(evidence.loaded.adapter).explains("detection"):
        name = evidence.loaded.adapter.spec.id
        return [f"{option}={value} has no effect: {name} draws no boxes." for option, value in given.items()]
    if "ratio" in given and options.per != "picture":
        return [f"ratio={options.ratio:g} has no effect: it is of one map of the whole picture (per=picture)."]
    return []


def _describe_idle_layers(evidence: Evidence, raw: RawMaps, method: Method, options: Options) -> list[str]:
    """Return a sentence on chosen layers that no map depends on."""
    # A layer may have several names, of which its map has one.
    chosen = {*options.layers, *evidence.paths}
    # A recipe names the layers of the pass also where no map depends on them.
    by_default = set(evidence.paths) == set(evidence.loaded.default_layers)
    if not options.layers or by_default or not raw.maps or method.weighed or not chosen.isdisjoint(raw.layers):
        return []
    return [f"layers={','.join(options.layers)} has no effect with this method."]


def _scale(
    raw: RawMaps, targets: Sequence[Target], method: Method, options: Options, geometry: Geometry
) -> tuple[Heatmap, ...]:
    """Return the heatmaps of a method's raw maps, as the options ask for."""
    signed, layers = method.signed and (options.part == "signed" or options.evidence == "both"), raw.layers
    maps = heatmaps(
        raw.maps, targets, method=method.id, layers=layers, geometry=geometry, scale=options.scale, signed=signed
    )
    if not raw.candidates:
        return maps
    return tuple(replace(each, candidates=tests) for each, tests in zip(maps, raw.candidates, strict=True))


def _method_for(evidence: Evidence, options: Options) -> Method:
    """Return the method; where no listed layer runs on the picture one that hides parts. Raises ModelProblem."""
    method = method_of(evidence.loaded, options)
    if evidence.layers or not evidence.instead or not method.at_layers:
        return method
    if options.method:
        raise ModelProblem(f"{evidence.instead} Use a method that needs no layer, such as RISE or Occlusion.")
    return method_of(evidence.loaded, replace(options, method="drise"))


def chosen_method(loaded: LoadedModel, options: Options) -> Method:
    """Return the method that the options name, or the model's usual one."""
    if options.method:
        return find_method(options.method)
    return find_method(loaded.usual_method(options) if loaded.gradients else "drise")


def method_of(loaded: LoadedModel, options: Options) -> Method:
    """Return the method; raises ModelProblem if it cannot explain the model."""
    spec, gradients = loaded.adapter.spec, loaded.gradients
    method = chosen_method(loaded, options)
    task, name = task_of(loaded.adapter), method.name_for(spec.task)
    can_hide = "mask" not in task.unsupported_methods
    hides = can_hide and method.family == "mask"
    if not (gradients or hides or (method.layers_optional and loaded.adapter.gradients)):
        rise = find_method("drise").name_for(spec.task)
        advice = f"use {rise} or Occlusion" if can_hide else "wrap it to return a row of numbers"
        raise ModelProblem(f"{spec.id} {loaded.without_layers}: {advice}.")
    if any(map(callable, options.targets)) and method.family not in FUNCTIONS:
        raise ModelProblem(f"{name} cannot explain a function: use GradCAM and its kind, or gradients of pixels.")
    if options.smooth == "flips" and task.granularities != ("class",):
        raise ModelProblem(f"{spec.id} answers for places, which a mirrored picture moves: leave smooth=flips out.")
    if (reason := task.unsupported_methods.get(method.family)) is not None:
        raise ModelProblem(f"{name} {reason.format(id=spec.id)}")
    return method


def check_options(loaded: LoadedModel, options: Options) -> None:
    """Raise ModelProblem for options that the model takes with no picture."""
    method = method_of(loaded, options)
    task_of(loaded.adapter).decoder.check(options, loaded.adapter)
    # A joint has parts of its own, and masks tell which they explain.
    if options.joint is None and method.family != "mask":
        loaded.adapter.check_part(options.part)


def pass_size(loaded: LoadedModel, options: Options, device: str = "") -> int:
    """Return how many pictures go through the model in one pass on `device`, by default its own.

    More than one only by quick methods of classifiers. On a CPU a caller's module takes one: to measure that it takes
    several costs more than they save.
    """
    chosen = chosen_method(loaded, options)
    fast = loaded.guard is None or loaded.device.type != "cpu"
    # Each picture's answer has words of its own.
    alike = loaded.adapter.splits_batches and not loaded.adapter.takes_prompt
    together = fast and alike and loaded.gradients and chosen.quick
    if not together or any(map(callable, options.targets)):
        return 1
    return ON_CPU if (device or loaded.device.type) == "cpu" else ON_GPU


def explain_together(
    loaded: LoadedModel,
    images: Sequence[Image],
    inputs: Sequence[ModelInput],
    layers: tuple[Layer, ...],
    all_options: Sequence[Options],
    *,
    best: int | None = None,
    notes: tuple[str, ...] = (),
    prepared: float = 0.0,
) -> list[Explanation]:
    """Return an Explanation of each picture, by one pass and its own options, which differ in their targets.

    `best`: number of classes of each picture that are explained where no target is named, by default `top_k`. `notes`
    are of all of them; `prepared`: milliseconds that each input took. Raises ModelProblem where the model does not
    take these inputs together.
    """
    start = time.perf_counter()
    parts = run_pass(loaded, inputs, layers)
    milliseconds = {"prepare": prepared, "model": (time.perf_counter() - start) * 1e3 / len(parts)}
    decoder = task_of(loaded.adapter).decoder
    if best is not None and not all_options[0].targets:
        all_options = [
            replace(options, targets=tuple(prediction.index for prediction in decoder.decode(part, options)[:best]))
            for part, options in zip(parts, all_options, strict=True)
        ]
    options = all_options[0]
    method = chosen_method(loaded, options)
    pairs = zip(parts, all_options, strict=True)
    targets = [decoder.resolve(each, decoder.decode(part, each), part) for part, each in pairs]
    if method.gradients:
        backward(parts, targets)
    drawn: list[tuple[Heatmap, ...]] = [()] * len(parts)
    alike = options.scale == "own" and options.smooth != "flips" and all(targets)
    if loaded.device.type != "cpu" and alike and len({part.geometry for part in parts}) == 1:
        drawn = _draw_together(parts, targets, method, options)
    return [
        explain(image, part, options, milliseconds=dict(milliseconds), notes=(*image.notes, *notes), drawn=maps)
        for image, part, options, maps in zip(images, parts, all_options, drawn, strict=True)
    ]


def _draw_together(
    parts: Sequence[Evidence], targets: Sequence[Sequence[Target]], method: Method, options: Options
) -> list[tuple[Heatmap, ...]]:
    """Return the heatmaps of each picture's targets, by one copy from the GPU."""
    raws = [method.run(part, some) for part, some in zip(parts, targets, strict=True)]
    together = RawMaps(list(map(torch.cat, zip(*(raw.maps for raw in raws), strict=True))), raws[0].layers)
    every_target = [target for some in targets for target in some]
    remaining = iter(_scale(together, every_target, method, options, parts[0].geometry))
    return [tuple(itertools.islice(remaining, len(some))) for some in targets]
