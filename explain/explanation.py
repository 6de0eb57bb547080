"""One picture, one model: what it said, where that came from, and how to make it again."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from common.errors import ModelProblem
from explain.evidence.attention import OPENED
from explain.evidence.targets import UNSHOWN, Per, Wanted, resolve, unshown
from explain.findings.diagnosis import Finding, diagnose, missing_words
from explain.maps import boxes
from explain.maps.boxes import BoxNumbers, Within
from explain.maps.heatmap import Heatmap, Scale, heatmaps, hold, raw_maps
from explain.maps.statistics import Agreement, Statistics, compare, describe, iou
from explain.methods import method as find_method
from explain.picture.image import Image, to_png
from explain.recipe import Recipe, versions
from explain.rendering import render
from models.adapter import Box, Part, Prediction, Target
from models.adapters.detector import Detector
from models.labels import class_index

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from explain.evidence.evidence import Evidence
    from explain.evidence.resident import Progress
    from models.adapter import ModelSpec
    from models.adapters.detector import Reason


@dataclass(frozen=True, slots=True)
class Missing:
    """A candidate that was looked up by its place, and why it is shown or not."""

    candidate: Prediction
    reason: Reason
    confidence: float
    """The threshold that was asked for."""
    shown: tuple[Prediction, ...] = field(repr=False)
    """What the model shows, also of classes that are filtered out: `reason.by` is a place among these."""
    listed: tuple[Prediction, ...] = field(repr=False)
    """Of these, what the filter of classes leaves."""

    @property
    def words(self) -> str:
        """One sentence: what it is, how sure, and why it is not shown."""
        return missing_words(self)


@dataclass(frozen=True, slots=True)
class Options:
    """What a person can choose; with the picture and the model it makes the recipe."""

    method: str | None = None
    """None: the model's own default."""
    layers: tuple[str, ...] = ()
    """Dotted paths; empty: found by themselves."""
    targets: tuple[Wanted, ...] = ()
    """Classes by index or label; with `per="detection"` boxes by their place among the predictions, all boxes of a
    label, or raw candidates as (anchor, class). Empty: the `top_k` best."""
    top_k: int = 5
    scale: Scale = "own"
    preprocessing: str = "trained"
    confidence: float = 0.25
    iou: float = 0.7
    per: Per = "class"
    """What a map is of: of a class (all its boxes), of one detection, or of the whole picture."""
    part: Part = "class"
    """What of that is explained: its class, why this class and not another, its box, ..."""
    ratio: float = 0.02
    """With `per="picture"`: the share of strongest raw candidates that the map sums."""
    classes: tuple[int | str, ...] = ()
    """Of a detector: only boxes of these classes are shown; empty: of all."""
    within: Within = "picture"
    """Of a detector: what of a map is shown, inside its boxes or everywhere."""
    vocabulary: tuple[str, ...] = ()
    """Of a model with an open vocabulary: the words that it looks for; empty: its own."""
    examples: tuple[tuple[Box, str], ...] = ()
    """Of YOLOE: boxes (xyxy in original pixels of this very picture) of what it looks for, each with a name."""
    masks: int | None = None
    """Of D-RISE: how often the picture is hidden at random; None: 800 for a detector, 1000 for a classifier. Of
    Occlusion: about how many windows; None: 196."""
    head: int | None = None
    """Of the method Attention: one head, counted from 0; None: the mean of all."""


KEPT: tuple[str, ...] = ("top_k", "scale", "preprocessing", "confidence", "iou", "per", "part", "ratio", "classes")
KEPT += ("within", "vocabulary", "examples", "head")
"""The options that a recipe keeps as they are; the others it names as they were found."""


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What a model said of a picture and where it looked. `with_method` and its like run no model again."""

    image: Image
    model: ModelSpec
    predictions: tuple[Prediction, ...]
    """Best first: classes of a classifier, boxes of a detector."""
    heatmaps: tuple[Heatmap, ...]
    """One per target, in the order of the targets."""
    options: Options
    evidence: Evidence
    milliseconds: dict[str, float]
    """`prepare`, `model` and `maps`, as measured for this very explanation; 0 for a step that was not needed."""
    notes: tuple[str, ...] = ()
    """What a reader should know: decoding, a device that ran out of memory."""
    finished: bool = True
    """False for what a map that comes bit by bit is so far."""
    _agreements: dict[tuple[int, int], Agreement] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        said = ", ".join(f"{p.label} {p.score:.2f}" for p in self.predictions[:3])
        return f"Explanation({self.image.name!r}, {self.model.id!r}: {said}; {len(self.heatmaps)} heatmaps)"

    @cached_property
    def statistics(self) -> tuple[Statistics, ...]:
        """One per heatmap, over the part of the picture that the model saw."""
        return tuple(describe(heatmap.measured.coarse, heatmap.seen) for heatmap in self.heatmaps)

    @cached_property
    def shared(self) -> tuple[Heatmap, ...]:
        """The same maps on one scale, where 1 is the hottest place of all. From the raw maps: nothing is run again."""
        if len(self.heatmaps) < 2:
            return self.heatmaps
        layers = range(len(self.heatmaps[0].raw))
        raws = [torch.from_numpy(np.stack([heatmap.raw[layer] for heatmap in self.heatmaps])) for layer in layers]
        first = self.heatmaps[0]
        targets = [heatmap.target for heatmap in self.heatmaps]
        return heatmaps(
            raws, targets, method=first.method, layers=first.layers, geometry=first.geometry, scale="shared"
        )

    @cached_property
    def diagnosis(self) -> tuple[Finding, ...]:
        """What the first map cannot be trusted for, and why, in plain words; most serious first."""
        return diagnose(self)

    @property
    def recipe(self) -> Recipe:
        resident, masks = self.evidence.resident, self.options.masks
        if self.heatmaps and find_method(self.heatmaps[0].method).family == "mask":
            from explain.methods.rise import budget

            masks = masks or budget(self.model.task, self.heatmaps[0].method)
        return Recipe(
            picture_sha256=self.image.sha256,
            picture_name=self.image.name,
            model=self.model.id,
            weights_sha256=resident.origin.adapter.weights_sha256,
            method=self.heatmaps[0].method if self.heatmaps else self.options.method or self.model.method,
            layers=tuple(layer.path for layer in self.evidence.layers),
            targets=tuple(self._named(heatmap.target) for heatmap in self.heatmaps),
            masks=masks,
            **{name: getattr(self.options, name) for name in KEPT},
            device=str(resident.device),
            versions=versions(),
        )

    def with_method(
        self, name: str, *, progress: Progress | None = None, cancel: threading.Event | None = None
    ) -> Explanation:
        """The same targets by another method; no model pass, but for the slow ones that are made of passes."""
        return self._again(replace(self.options, method=find_method(name).id), progress, cancel)

    def with_methods(self, *names: str) -> tuple[Explanation, ...]:
        """The same targets by several methods, in their order; what they share is worked out once."""
        methods = [find_method(name) for name in names]
        hold(self.evidence, [one for one in methods if one.quick], [heatmap.target for heatmap in self.heatmaps])
        return tuple(self.with_method(one.id) for one in methods)

    def with_targets(self, *targets: Wanted) -> Explanation:
        """The same method for other targets, named as `Options.targets` says."""
        return self._again(replace(self.options, targets=targets), None, None)

    def with_options(self, **changed: Any) -> Explanation:
        """The same evidence with other options that need no model pass: per, part, ratio, classes, within, confidence,
        iou, targets, top_k."""
        return self._again(replace(self.options, **changed), None, None)

    def with_scale(self, scale: Scale) -> Explanation:
        """The same maps, each on its own scale or all on one."""
        if scale not in get_args(Scale):
            raise ModelProblem(f"There is no scale called {scale}: use own or shared.")
        return self._again(replace(self.options, scale=scale), None, None)

    def _again(self, options: Options, progress: Progress | None, cancel: threading.Event | None) -> Explanation:
        return explain(
            self.image, self.evidence, options, notes=self.notes, milliseconds={}, progress=progress, cancel=cancel
        )

    def _map(self, index: int) -> Heatmap:
        count = len(self.heatmaps)
        if -count <= index < count:
            return self.heatmaps[index]
        if count:
            raise ModelProblem(f"There is no map {index}: there are {count}, counted from 0.")
        if self.model.task == "detect" and not self.predictions:
            more = " or leave classes away" if self.options.classes else ""
            raise ModelProblem(
                f"There is no map {index}: no box is shown, lower confidence ({self.options.confidence:g}){more}."
            )
        raise ModelProblem(f"There is no map {index}: no target was explained, ask for one that is among predictions.")

    def overlay(self, index: int = 0, *, colormap: str = "inferno", alpha: float = 0.5) -> NDArray[np.uint8]:
        """The picture under one heatmap, uint8 (H, W, 3) RGB; alpha 0 is the picture, 1 is the map, exactly.

        What the model did not see is never coloured, and faded wherever there is a map over the rest.
        """
        heatmap = self._map(index)
        return render.overlay(
            self.image.pixels,
            heatmap.values,
            colormap=colormap,
            alpha=alpha,
            seen=heatmap.seen,
            unseen="light" if alpha else "keep",
        )

    def agreement(self, first: int, second: int) -> Agreement:
        """How alike two of the maps are; computed once."""
        pair = (min(first, second), max(first, second))
        if pair not in self._agreements:
            self._agreements[pair] = compare(*(self._map(i).measured.coarse for i in pair))
        return self._agreements[pair]

    def overlap(self, first: int, second: int) -> float:
        """Overlap (IoU) of the hottest fifths of two of the maps, 0..1: `agreement(...).iou_top20`, much quicker."""
        return iou(*(self._map(i).measured.hottest for i in (first, second)))

    def own(self, index: int = 0) -> tuple[Prediction, ...]:
        """The boxes that a map speaks of: of its detection, of its class, or all that are shown."""
        target = self._map(index).target
        if self.options.per == "picture":
            return tuple(p for p in self.predictions if p.box is not None)
        found = tuple(
            p for p in self.predictions if p.box is not None and p.index == target.index and p.anchor in target.anchors
        )
        return found or self._hidden(target)

    def _hidden(self, target: Target) -> tuple[Prediction, ...]:
        """A candidate that is not shown."""
        adapter = self.evidence.resident.adapter
        if self.options.per != "detection" or target.index is None or not isinstance(adapter, Detector):
            return ()
        classes = [target.index] * len(target.anchors)
        return tuple(adapter.predictions(self.evidence.outputs, self.evidence.geometry, target.anchors, classes))

    def box_numbers(self, index: int = 0) -> BoxNumbers | None:
        """How a map lies to its own boxes and to those of other objects; None where it has no box, or no heat."""
        own = self.own(index)
        if not own or self.heatmaps[index].state != "ok":
            return None
        mine = {(p.anchor, p.index) for p in own}
        others = [p for p in self.predictions if (p.anchor, p.index) not in mine]
        return boxes.numbers(self.heatmaps[index], own, others, self.statistics[index].entropy_normalised)

    def by_layer(self, index: int = 0) -> tuple[Heatmap, ...]:
        """One map's layers kept apart: a heatmap for each, on its own scale, from the raw maps that are held."""
        whole = self._map(index)
        apart = (
            heatmaps(
                [torch.from_numpy(raw[None])],
                [whole.target],
                method=whole.method,
                layers=(layer,),
                geometry=whole.geometry,
                scale="own",
            )
            for layer, raw in zip(whole.layers, whole.raw, strict=True)
        )
        return tuple(one for (one,) in apart)

    def by_head(self, index: int = 0, layer: int = 0, scale: Scale = "own") -> tuple[Heatmap, ...]:
        """What each head of one attention weighs, for the strip of them all; `layer` among this explanation's layers.

        The same for every class. Costs a pass where no map of that attention was made yet.
        """
        from explain.methods import attention

        target = self._map(index).target
        maps = attention.heads(self.evidence, target)
        path, raw = [*maps.items()][layer]
        named = [replace(target, label=f"head {number}") for number in range(len(raw))]
        geometry = self.evidence.geometry
        return heatmaps([raw], named, method="attention", layers=(path,), geometry=geometry, scale=scale)

    def missing(self, where: Box | tuple[float, float] | None, target: int | str | None = None) -> Missing | None:
        """The strongest candidate at a place, for any class or for one, and why it is not shown.

        `where` is xyxy in original pixels, or a point (x, y); None is the whole picture. Returns None where there is no
        candidate, or no detector.
        """
        adapter, evidence = self.evidence.resident.adapter, self.evidence
        if not isinstance(adapter, Detector):
            return None
        index = None if target is None else class_index(target, adapter.labels)
        if where is not None:
            where = boxes.place(where, self.image.width, self.image.height)
        found = adapter.candidate(evidence.outputs, evidence.geometry, where, index)
        return None if found is None else self.candidate(*found)

    def candidate(self, anchor: int, target: int | str) -> Missing:
        """One raw candidate of a detector for one class, and why it is not shown."""
        adapter, evidence, options = self.evidence.resident.adapter, self.evidence, self.options
        if not isinstance(adapter, Detector):
            raise ModelProblem(f"{self.model.id} draws no boxes: it has no candidates.")
        if not 0 <= anchor < evidence.outputs.count:
            raise ModelProblem(f"There is no candidate {anchor}: the model has {evidence.outputs.count} here, from 0.")
        index = class_index(target, adapter.labels)
        (candidate,) = adapter.predictions(evidence.outputs, evidence.geometry, [anchor], [index])
        reason = adapter.why(evidence.outputs, self.every, candidate, confidence=options.confidence, iou=options.iou)
        return Missing(candidate, reason, options.confidence, self.every, self.predictions)

    @cached_property
    def every(self) -> tuple[Prediction, ...]:
        """What the model shows, also of classes that are filtered out."""
        if not self.options.classes:
            return self.predictions
        return decoded(self.evidence, replace(self.options, classes=()))

    def _named(self, target: Target) -> int | tuple[int, int]:
        """A target as a recipe names it."""
        if target.index is None:
            return -1
        if self.options.per == "detection":
            return (target.anchors[0], target.index)
        return target.index

    def inside(self, mask: NDArray[np.bool_], index: int = 0) -> float:
        """Share of a map's heat within a mask, bool (H, W) on the picture's own grid; 0 where there is no heat."""
        values = self._map(index).measured.values
        if mask.shape != values.shape:
            raise ValueError(f"A mask must have the picture's shape {values.shape}, got {mask.shape}.")
        total = float(values.sum(dtype=np.float64))
        return float(values[mask].sum(dtype=np.float64)) / total if total else 0.0

    def save(self, folder: str | Path) -> Path:
        """Write overlays, heatmaps, raw maps, statistics and the recipe into a folder, whole or not at all."""
        from explain.export import embedded_recipe

        folder, tagged = Path(folder), embedded_recipe.tagger(self)
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".sightglass-", dir=folder))
        try:
            for i, heatmap in enumerate(self.heatmaps, 1):
                label = "".join(c if c.isalnum() else "_" for c in heatmap.target.label)
                stem = f"{i}_{label}_{heatmap.method}"
                (work / f"{stem}_overlay.png").write_bytes(tagged(to_png(self.overlay(i - 1)), i - 1))
                alone = to_png(render.heatmap_only(heatmap.values, "inferno"))
                (work / f"{stem}_heatmap.png").write_bytes(
                    embedded_recipe.write(alone, self.recipe, embedded_recipe.view_of(self, i - 1))
                )
                np.savez_compressed(work / f"{stem}_raw.npz", *heatmap.raw)
            (work / "recipe.json").write_text(self.recipe.model_dump_json(indent=1))
            (work / "explanation.json").write_text(json.dumps(self.summary(), indent=1))
            placed: list[Path] = []
            try:
                for file in work.iterdir():
                    placed.append(file.replace(folder / file.name))
            except OSError:
                for file in placed:
                    file.unlink(missing_ok=True)
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return folder

    def summary(self) -> dict[str, Any]:
        """Predictions, statistics and findings as plain values, ready for JSON."""
        return {
            "picture": self.image.name,
            "model": self.model.id,
            "predictions": [
                {"label": p.label, "index": p.index, "score": p.score, "box": p.box} for p in self.predictions
            ],
            "boxes": [asdict(numbers) if (numbers := self.box_numbers(i)) else None for i in range(len(self.heatmaps))]
            if self.model.task == "detect"
            else [],
            "heatmaps": [
                {"label": h.target.label, "method": h.method, "layers": h.layers, "state": h.state, "raw": h.raw_range}
                for h in self.heatmaps
            ],
            "statistics": [asdict(s) for s in self.statistics],
            "diagnosis": [finding.text for finding in self.diagnosis],
            "milliseconds": self.milliseconds,
            "notes": self.notes,
        }


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
) -> Explanation:
    """Predictions and heatmaps of held Evidence.

    `partial` hears of a map that comes bit by bit (D-RISE) what it is so far, about once a second. `maps` False: the
    predictions alone.
    """
    adapter, gradients = evidence.resident.adapter, evidence.resident.gradients
    method = find_method(options.method or (adapter.spec.method if gradients else "drise"))
    if method.family != "mask" and not gradients:
        raise ModelProblem(f"{adapter.spec.id} only answers, no layer of it can be seen: use D-RISE or Occlusion.")
    if adapter.spec.task == "embed" and method.family in ("mask", "library"):
        raise ModelProblem(f"{method.name} asks for a class and {adapter.spec.id} names none: use GradCAM or EigenCAM.")
    start = time.perf_counter()
    predictions = decoded(evidence, options)
    targets = resolve(options, predictions, evidence) if maps else []
    # Made again of an explanation they come with it, and what another method or target said does not hold here.
    kept = (note for note in notes if note != OPENED and not note.endswith(UNSHOWN))
    notes = tuple(dict.fromkeys((*kept, *getattr(adapter, "notes", ()), *unshown(options, targets, evidence))))
    # FullGrad sums over layers of its own; every other method speaks of the layers that were asked for.
    layers = tuple(layer.path for layer in evidence.layers)
    layers = ("input",) if method.family == "mask" else ("all",) if method.id == "fullgrad" else layers

    def of(raws: Sequence[torch.Tensor], *more: str) -> Explanation:
        took = (time.perf_counter() - start) * 1e3
        timings = {"prepare": 0.0, "model": 0.0} | milliseconds | {"maps": took}
        shown: tuple[Heatmap, ...] = ()
        if targets:
            shown = heatmaps(
                raws, targets, method=method.id, layers=layers, geometry=evidence.geometry, scale=options.scale
            )
        said, whole = (*notes, *more), not more
        made = Explanation(image, adapter.spec, predictions, shown, options, evidence, timings, said, whole)
        if options.within == "picture":
            return made
        kept = tuple(boxes.confined(heatmap, made.own(i), options.within) for i, heatmap in enumerate(shown))
        return replace(made, heatmaps=kept)

    if not targets:
        return of([])
    if method.family == "library":
        from explain.methods import grad_cam_library

        return of(grad_cam_library.raw_maps(evidence, method, targets, progress=progress, cancel=cancel))
    if method.family == "attention":
        from explain.methods import attention

        notes = (*notes, OPENED)
        about: Any = {"head": options.head, "progress": progress, "cancel": cancel}
        raws, layers = attention.raw_maps(evidence, method, targets, **about)
        return of(raws)
    if method.family == "mask":
        from explain.methods import rise

        told = time.perf_counter()

        def tell(raws: list[torch.Tensor], done: int, total: int) -> None:
            nonlocal told
            if partial is not None and done < total and time.perf_counter() - told >= 1:
                partial(of(raws, f"This map is not finished: {done} of {total} masks so far."))
                told = time.perf_counter()

        raws = rise.raw_maps(
            evidence, method, targets, progress=progress, cancel=cancel, partial=tell, count=options.masks
        )
        return of(raws)
    return of(raw_maps(evidence, method, targets))


def decoded(evidence: Evidence, options: Options) -> tuple[Prediction, ...]:
    """What the model shows with these options, of the classes that are asked for."""
    adapter = evidence.resident.adapter
    if options.classes and adapter.spec.task != "detect":
        raise ModelProblem(f"{adapter.spec.id} draws no boxes to leave out by class: name targets to explain.")
    asked: dict[str, Any] = {"top_k": options.top_k, "confidence": options.confidence, "iou": options.iou}
    held = evidence.decoded
    # Suppression takes longer than a map, and another method or target changes nothing about it.
    if held is None or held[0] != asked:
        found = tuple(adapter.decode(evidence.outputs, evidence.geometry, **asked))
        evidence.decoded = held = asked, found
    only = {class_index(wanted, adapter.labels) for wanted in options.classes}
    return tuple(p for p in held[1] if not only or p.index in only)
