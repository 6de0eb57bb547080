"""The frozen result of explaining one picture."""

import copy
import weakref
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from sightglass.common.arguments import called_as
from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.maps import boxes
from sightglass.explain.maps.boxes import BoxNumbers
from sightglass.explain.maps.heatmap import Heatmap, rescale
from sightglass.explain.maps.statistics import Agreement, Statistics, agreement_matrix, describe, iou
from sightglass.explain.methods import method as find_method
from sightglass.explain.methods.rise import budget
from sightglass.explain.options import RECIPE_OPTIONS, Options
from sightglass.explain.picture.image import Image
from sightglass.explain.recipe import FUNCTION_TARGET, Recipe, versions
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Mode, Style
from sightglass.explain.tasks import Task, task_of
from sightglass.explain.tasks.detect import Missing
from sightglass.explain.trust.checks import Checks
from sightglass.explain.trust.proof import Proof
from sightglass.models.adapter import FunctionTarget, PhraseTarget, PlaceTarget, Prediction, Target
from sightglass.models.adapters.detector import Detector
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter
from sightglass.models.geometry import Box
from sightglass.models.labels import class_index
from sightglass.models.spec import ModelSpec


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Predictions and heatmaps of one picture, with derived results."""

    image: Image
    model: ModelSpec
    """The row of the model's table."""
    predictions: tuple[Prediction, ...]
    """Best first: classes of a classifier, boxes of a detector."""
    heatmaps: tuple[Heatmap, ...]
    """One per target, in the order of the targets."""
    options: Options
    evidence: Evidence
    milliseconds: dict[str, float]
    """`prepare`, `model` and `maps`, measured for this explanation; 0 for a step that was not needed."""
    notes: tuple[str, ...] = ()
    """Sentences a reader should know: about decoding, a device that ran out of memory."""
    finished: bool = True
    """False while the method is still refining the maps."""
    object_mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    """The pixels of the object, bool (H, W), if the caller gave them."""
    # Of this object alone: `replace` begins with none.
    _agreements: dict[tuple[int, int], Agreement] = field(default_factory=dict, init=False)
    _checks: dict[int, Checks] = field(default_factory=dict, init=False)
    _proofs: dict[int, Proof] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        best = ", ".join(f"{p.label} {p.score:.2f}" for p in self.predictions[:3])
        return f"{type(self).__name__}({self.image.name!r}, {self.model.id!r}: {best}; {len(self.heatmaps)} heatmaps)"

    @property
    def task(self) -> Task:
        """What the model answers."""
        return task_of(self.evidence.loaded.adapter)

    @property
    def quantity(self) -> Literal["score", "number"]:
        """What the evidence of its maps raises and lowers: a number of a regression or of a joint, else a score."""
        return self.task.quantity if self.options.joint is None else "number"

    @cached_property
    def statistics(self) -> tuple[Statistics, ...]:
        """One per heatmap, over the part of the picture that the model saw."""
        return tuple(describe(heatmap.measured.coarse, heatmap.seen) for heatmap in self.heatmaps)

    @cached_property
    def ranks(self) -> tuple[int | None, ...]:
        """The place of each heatmap's target among all answers, from 1; None for numbers and hidden boxes."""
        return self.task.scorer.ranks(self)

    @cached_property
    def shared(self) -> tuple[Heatmap, ...]:
        """The maps on one shared scale, from the raw maps."""
        return self.heatmaps if len(self.heatmaps) < 2 else rescale(self.heatmaps, "shared")

    @property
    def recipe(self) -> Recipe:
        """Everything `explain.replay` needs to compute the same maps again."""
        loaded, masks = self.evidence.loaded, self.options.masks
        if self.heatmaps and find_method(self.heatmaps[0].method).family == "mask":
            masks = masks or budget(self.model.task, self.heatmaps[0].method)
        return Recipe(
            picture_sha256=self.image.sha256,
            picture_name=self.image.name,
            model=self.model.id,
            weights_sha256=self.evidence.weights_sha256,
            method=self.heatmaps[0].method if self.heatmaps else self.options.method or self.model.method,
            layers=self.evidence.paths,
            targets=self._encode_targets(),
            masks=masks,
            prepared=loaded.adapter.preprocessing,
            **{name: getattr(self.options, name) for name in RECIPE_OPTIONS if name not in ("classes", "against")},
            classes=tuple(map(self._encode_class, self.options.classes)),
            against=None if self.options.against is None else self._encode_class(self.options.against),
            device=str(loaded.device),
            versions=versions(),
        )

    @property
    def proofs(self) -> Mapping[int, Proof]:
        """The proofs made of this result, by index of their map; its files contain them."""
        return MappingProxyType(self._proofs)

    def known_checks(self, index: int | str = 0) -> Checks | None:
        """Return a map's checks if they were run on this result."""
        return self._checks.get(self._place(index))

    def with_tests(self, checks: Mapping[int, Checks], proofs: Mapping[int, Proof] | None = None) -> Self:
        """Return a copy that also has these checks and proofs, by index of their map."""
        # Unlike `replace`, this keeps what was computed.
        copied = copy.copy(self)
        copied.__dict__.update(_checks={**self._checks, **checks}, _proofs={**self._proofs, **(proofs or {})})
        return copied

    def checks_key(self, index: int | str = 0) -> Hashable:
        """Return the cache key of a map's checks."""
        options = self.options
        return (*self.map_key(index), options.per, options.confidence, options.iou, options.classes)

    def map_key(self, index: int | str = 0) -> tuple[Hashable, ...]:
        """Return everything that the values of one map depend on."""
        loaded = self.evidence.loaded
        heatmap, adapter, options = self._map(index).measured, loaded.adapter, self.options
        return (
            # Networks with the same weights may compute something else.
            weakref.ref(loaded.origin),
            *(adapter.weights_sha256, self.image.sha256, heatmap.method, heatmap.layers, self.evidence.paths),
            *(heatmap.target, options.preprocessing, options.masks, options.head, options.vocabulary, options.examples),
            # Maps added to an explanation later have no identity of their own.
            *(adapter.spec.row_hash, zlib.crc32(heatmap.coarse.tobytes())),
        )

    def _place(self, index: int | str) -> int:
        """Return the index of a map from 0."""
        return self.heatmaps.index(self._map(index))

    def _map(self, index: int | str) -> Heatmap:
        if isinstance(index, str):
            labels = [heatmap.target.label for heatmap in self.heatmaps]
            if index not in labels:
                raise ModelProblem(f"There is no map of {index}: {did_you_mean(index, labels, 'see heatmaps.')}")
            index = labels.index(index)
        count = len(self.heatmaps)
        if -count <= index < count:
            return self.heatmaps[index]
        if count:
            raise ModelProblem(f"There is no map {index}: there are {count}, counted from 0.")
        if self.task.explains("detection") and not self.predictions:
            more = " or leave classes away" if self.options.classes else ""
            raise ModelProblem(
                f"There is no map {index}: no box is shown, lower confidence ({self.options.confidence:g}){more}."
            )
        raise ModelProblem(f"There is no map {index}: no target was explained, ask for one that is among predictions.")

    @called_as("overlay(0, colormap=..., alpha=..., mode=...)")
    def overlay(
        self,
        index: int | str = 0,
        *,
        colormap: str | int | None = None,
        alpha: float | None = None,
        mode: Mode | None = None,
    ) -> NDArray[np.uint8]:
        """Draw one heatmap over the picture as the viewer does, uint8 (H, W, 3) RGB.

        `index`: a map's number or label. `alpha`: the opacity of its strong places, 0..1; 0 gives the picture. `mode`
        "blend": of all places, cold ones in the colormap's first colours. The part that the model did not see is dimmed
        and outside of a frame. Signed maps have their own colours over grey, and lines at half their scale, dashed for
        what lowers. Raises ModelProblem for an unknown map.
        """
        style = Style.parse(colormap, alpha, mode)
        return render.paint(self.image.pixels, self._map(index).field, style, unseen="light" if style.alpha else "keep")

    def agreement(self, first: int, second: int) -> Agreement:
        """Return how similar two of the maps are; computed once."""
        pair = (min(first, second), max(first, second))
        if pair not in self._agreements:
            self._agreements[pair] = agreement_matrix([self._map(i).measured.coarse for i in pair])[0][1]
        return self._agreements[pair]

    @cached_property
    def agreements(self) -> tuple[tuple[Agreement, ...], ...]:
        """How similar each two of all maps are, [row][column].

        Faster than one pair after the other.
        """
        return agreement_matrix([heatmap.measured.coarse for heatmap in self.heatmaps])

    def overlap(self, first: int, second: int) -> float:
        """Return the IoU of the hottest fifths of two maps, 0..1: `agreement(...).iou_top20`, but much faster."""
        return iou(*(self._map(i).measured.hottest for i in (first, second)))

    def own(self, index: int = 0) -> tuple[Prediction, ...]:
        """Return the boxes of a map: its detection, class, or all shown."""
        target = self._map(index).target
        if self.options.per == "picture":
            return tuple(p for p in self.predictions if p.box is not None)
        predictions = tuple(
            p for p in self.predictions if p.box is not None and p.index == target.index and p.anchor in target.anchors
        )
        if predictions or self.options.per != "detection" or target.index is None:
            return predictions
        # Its candidate, which is not shown.
        adapter = cast("Detector", self.evidence.loaded.adapter)
        classes = [target.index] * len(target.anchors)
        return tuple(adapter.predictions(self.evidence.outputs, self.evidence.geometry, target.anchors, classes))

    def box_numbers(self, index: int = 0) -> BoxNumbers | None:
        """Return a map's shares of heat in own and other boxes, or None."""
        predictions = self.own(index)
        if not predictions or self.heatmaps[index].state != "ok":
            return None
        own_keys = {(p.anchor, p.index) for p in predictions}
        others = [p for p in self.predictions if (p.anchor, p.index) not in own_keys]
        return boxes.measure(self.heatmaps[index], predictions, others, self.statistics[index].entropy_normalised)

    def by_layer(self, index: int = 0) -> tuple[Heatmap, ...]:
        """Return one map's heatmap for each layer, scaled on its own."""
        heatmap = self._map(index)
        pairs = zip(heatmap.layers, heatmap.raw, strict=True)
        return tuple(rescale([replace(heatmap, layers=(path,), raw=(raw,))], "own")[0] for path, raw in pairs)

    def missing(self, where: Box | tuple[float, float] | None, target: int | str | None = None) -> Missing | None:
        """Return the strongest candidate at a place, and the reason it is hidden.

        `where`: xyxy in original pixels, a point (x, y), or None: the whole picture. None without a candidate.
        """
        adapter, evidence = cast("Detector", self.evidence.loaded.adapter), self.evidence
        if not self.task.explains("detection"):
            return None
        index = None if target is None else class_index(target, adapter.labels)
        if where is not None:
            where = boxes.parse_place(where, self.image.width, self.image.height)
        candidate = adapter.candidate(evidence.outputs, evidence.geometry, where, index)
        return None if candidate is None else self.candidate(*candidate)

    def candidate(self, anchor: int, target: int | str) -> Missing:
        """Return a raw candidate for a class, and the reason it is hidden."""
        adapter, evidence, options = cast("Detector", self.evidence.loaded.adapter), self.evidence, self.options
        if not self.task.explains("detection"):
            raise ModelProblem(f"{self.model.id} draws no boxes: it has no candidates.")
        if not 0 <= anchor < evidence.outputs.count:
            raise ModelProblem(f"There is no candidate {anchor}: the model has {evidence.outputs.count} here, from 0.")
        index = class_index(target, adapter.labels)
        (candidate,) = adapter.predictions(evidence.outputs, evidence.geometry, [anchor], [index])
        boxes, confidence = self.unfiltered, options.confidence
        reason = adapter.why(evidence.outputs, boxes, candidate, confidence=confidence, iou=options.iou)
        return Missing(candidate, reason, confidence, boxes, self.predictions)

    @cached_property
    def unfiltered(self) -> tuple[Prediction, ...]:
        """All predictions above the threshold, including classes that the filter hides."""
        if not self.options.classes:
            return self.predictions
        return self.task.decoder.decode(self.evidence, replace(self.options, classes=()))

    def _encode_class(self, name: int | str) -> int | str:
        """Return a class in the form that a recipe stores: a number may come as text, and words stay."""
        adapter = self.evidence.loaded.adapter
        return class_index(name, adapter.labels) if str(name).isdecimal() and not adapter.takes_prompt else name

    def _encode_targets(self) -> tuple[int | tuple[int, int], ...]:
        """Return the targets in the form that a recipe stores, without any map the named ones."""
        mapped = tuple(self._encode_target(heatmap.target) for heatmap in self.heatmaps)
        return mapped or self.task.decoder.encode_unmapped(self.options, self.evidence.loaded.adapter)

    def _encode_target(self, target: Target) -> int | tuple[int, int]:
        """Return a target in the form that a recipe stores."""
        if target.index is None:
            return FUNCTION_TARGET if isinstance(target, FunctionTarget) else -1
        if isinstance(target, PhraseTarget) and len(target.words) > 1:
            return target.words[0], target.words[-1]
        if self.options.per in ("detection", "region", "pixel"):
            return (target.anchors[0], target.index)
        return target.index

    @cached_property
    def segmentation(self) -> NDArray[np.int64] | None:
        """The class index of each pixel, (H, W), -1 outside the crop; None where the model classifies no pixels."""
        adapter = cast("Segmenter", self.evidence.loaded.adapter)
        has_classes = self.task.explains("region")
        return adapter.on_picture(self.evidence.outputs.classes, self.evidence.geometry, -1) if has_classes else None

    @cached_property
    def depth(self) -> NDArray[np.float32] | None:
        """The number of each pixel, (H, W); NaN outside the model's crop."""
        adapter = cast("PixelNumbers", self.evidence.loaded.adapter)
        return adapter.numbers_at(self.evidence.outputs, self.evidence.geometry) if adapter.measures_pixels else None

    def area(self, index: int | str = 0) -> NDArray[np.bool_] | None:
        """Return the explained pixels, bool (H, W); None for other tasks."""
        return self._find_pixels(self._map(index).target)

    def other_area(self, index: int | str = 0) -> NDArray[np.bool_] | None:
        """Return the comparison pixels of a depth map, bool (H, W), or None."""
        target = self._map(index).target
        if not isinstance(target, PlaceTarget) or not target.than:
            return None
        return self._find_pixels(target.with_pixels(target.reference))

    def _find_pixels(self, target: Target) -> NDArray[np.bool_] | None:
        adapter = cast("Segmenter", self.evidence.loaded.adapter)
        if adapter.has_row:
            return None
        return adapter.on_picture(adapter.pixels_of(self.evidence.outputs, target), self.evidence.geometry, False)

    def outside(self, index: int | str = 0) -> float | None:
        """Return the share of evidence outside of the object or area.

        None without evidence, and for a model that does not classify pixels without an `object_mask`.
        """
        area = self.object_mask
        if area is None and self.quantity == "score":
            area = self.area(index)
        if area is None or self._map(index).measured.state != "ok":
            return None
        return 1 - self.inside(area, self._place(index))

    def inside(self, mask: NDArray[np.bool_], index: int = 0) -> float:
        """Return a mask's share of a map's heat, 0..1; raise ValueError for a mask of another shape."""
        values = np.abs(self._map(index).measured.values)
        if mask.shape != values.shape:
            raise ValueError(f"A mask must have the picture's shape {values.shape}, got {mask.shape}.")
        total = float(values.sum(dtype=np.float64))
        return float(values[mask].sum(dtype=np.float64)) / total if total else 0.0
