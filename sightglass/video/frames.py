"""Explain the frames of a clip or a camera."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch

from sightglass.common.errors import AnswerProblem, Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.common.work.threads import in_order, torch_pool
from sightglass.explain.evidence.determinism import PassLock, own_modes
from sightglass.explain.evidence.evidence import Evidence, backward, evidence_at, run_pass
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import method_of, pass_size
from sightglass.explain.maps.heatmap import Heatmap, heatmaps
from sightglass.explain.methods.method import Request
from sightglass.explain.options import Options
from sightglass.explain.picture.decode import Pixels
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Prediction, Target
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.labels import class_index
from sightglass.video.clip import Frame
from sightglass.video.records import AnswerRecord, FrameRecord, RawMaps
from sightglass.video.results import Settings

T = TypeVar("T")
R = TypeVar("R")
BYTES = 96 * 2**20
"""Maximum bytes of the decoded frames of one call."""
ROUNDS = 2
"""Passes of each worker in one call, during which the model is locked."""


@dataclass(frozen=True, eq=False)
class FrameBoxes:
    """A detector's answer to a frame."""

    frame: Frame
    evidence: Evidence
    predictions: Sequence[Prediction]
    problem: str
    """Why its answer cannot be used; empty if it can."""


class Tracker:
    """The tracked objects of one clip (ByteTrack).

    Zhang et al. 2022, https://arxiv.org/abs/2110.06864: sure boxes are matched first, and unsure boxes only to the
    objects left, so a half-hidden object is not lost. It needs boxes, scores and classes, of any detector. Boxes of two
    classes at one place are one object's, whose class is the surer one.
    """

    def __init__(self, confidence: float = 0.25, iou: float = 0.7, classes: Collection[int] = ()) -> None:
        """Take the options of the boxes.

        `confidence`: lowest score of a new object; `iou`: overlap from which two boxes are at one place; `classes`:
        those that are followed, which a surer answer at their place does not hide.
        """
        from ultralytics.trackers.byte_tracker import BYTETracker
        from ultralytics.utils import ROOT, YAML

        options: dict[str, Any] = YAML.load(ROOT / "cfg" / "trackers" / "bytetrack.yaml")
        self.low = min(options["track_low_thresh"], confidence / 2)
        """Score from which a box continues an object that is followed already."""
        options |= {"track_high_thresh": confidence, "track_low_thresh": self.low, "new_track_thresh": confidence}
        self._iou, self._classes = iou, frozenset(classes)
        self._tracker: Any = BYTETracker(SimpleNamespace(**options))
        self._numbers: dict[int, int] = {}

    def update(self, boxes: Sequence[Prediction | AnswerRecord]) -> tuple[int | None, ...]:
        """Return each box's object number, from 1 by appearance, or None; `boxes`: all scored `low` or more."""
        from ultralytics.engine.results import Boxes

        kept = self._keep_one_a_place(boxes)
        listed = [(*(boxes[i].box or ()), boxes[i].score, boxes[i].index) for i in kept]
        rows = self._tracker.update(Boxes(np.array(listed, np.float32).reshape(-1, 6), (1, 1)))
        numbers, tracks = self._numbers, dict[int, int]()
        for row in sorted(rows, key=lambda row: row[4]):
            tracks[kept[int(row[7])]] = numbers.setdefault(int(row[4]), len(numbers) + 1)
        return tuple(map(tracks.get, range(len(boxes))))

    def _keep_one_a_place(self, boxes: Sequence[Prediction | AnswerRecord]) -> list[int]:
        """Return the indices of the boxes without those at a surer one's place."""
        from torchvision.ops import nms

        places = torch.tensor([box.box for box in boxes], dtype=torch.float32).reshape(-1, 4)
        ranks = torch.tensor([box.score + (box.index in self._classes) for box in boxes], dtype=torch.float32)
        return sorted(nms(places, ranks, self._iou).tolist())


class FrameExplainer:
    """A model with a method and options, for frames.

    A frame takes one pass and one gradient, without what only saved pictures need: digests, caches, statistics.
    """

    def __init__(self, explainer: Explainer, options: Options) -> None:
        """Raises ModelProblem for options that the model cannot take."""
        self.explainer, self.options = explainer, options
        self.loaded = self.with_vocabulary(explainer.loaded)
        self.loaded.adapter.check_preprocessing(options.preprocessing)
        self.method = method_of(self.loaded, options)
        self.task = task_of(self.loaded.adapter)
        self.signed = self.method.signed and options.evidence == "both"
        """Whether maps keep their signs."""

    def with_vocabulary(self, loaded: LoadedModel) -> LoadedModel:
        """Return the model with the vocabulary of the options, if it takes one."""
        return self.explainer.with_vocabulary(loaded, self.options, None)

    def find_class(self, index: int | None, predictions: Sequence[Prediction], evidence: Evidence) -> Target:
        """Return a class as a target; None: the best prediction."""
        options = replace(self.options, targets=() if index is None else (index,), top_k=1)
        return self.task.decoder.resolve(options, predictions, evidence)[0]

    def compute_maps(self, evidence: Evidence, targets: Sequence[Target]) -> tuple[list[RawMaps], tuple[str, ...]]:
        """Return each target's raw maps by layer, and the layers' paths."""
        request = Request(self.options.masks, self.options.head, flips=self.options.smooth == "flips")
        output = self.method.run(evidence, targets, request)
        layers = [layer.detach().to(torch.float32).cpu().numpy() for layer in output.maps]
        return [tuple(layer[i] for layer in layers) for i in range(len(targets))], output.layers

    def scale_maps(
        self, raws: Sequence[RawMaps], targets: Sequence[Target], layers: tuple[str, ...], geometry: Geometry
    ) -> tuple[Heatmap, ...]:
        """Return each target's map, on a scale of its own."""
        by_layer = [torch.from_numpy(np.stack(maps)) for maps in zip(*raws, strict=True)]
        about: dict[str, Any] = {"method": self.method.id, "layers": layers, "geometry": geometry}
        return heatmaps(by_layer, targets, **about, scale="own", signed=self.signed)


class ClipExplainer(FrameExplainer):
    """Turns the frames of a clip into records, in their order.

    On a CPU several workers run the model at the same time, each with one thread: PyTorch's threads wait for each other
    at every layer in busy loops, which would keep the cores from drawing and encoding.
    """

    def __init__(
        self, explainer: Explainer, requested: dict[str, Any], settings: Settings, cancel: threading.Event | None = None
    ) -> None:
        """`requested`: options as for an Explainer's call. Raises ModelProblem for invalid ones."""
        by_name = dict(requested)
        options = explainer.options(by_name, by_name.pop("question", None))
        if options.examples:
            raise ModelProblem("Boxes around examples are of one picture: for a clip, give words.")
        super().__init__(explainer, options)
        adapter = self.loaded.adapter
        if not self.task.scored:
            raise ModelProblem(f"{adapter.spec.id} names nothing that could be followed: use a classifier or detector.")
        self.targets = tuple(class_index(target, adapter.labels) for target in options.targets)
        if len(self.targets) > 1 and not self.task.explains("detection"):
            raise ModelProblem("A clip has one map in each frame: name one class, or none for whatever it says.")
        self.settings, self._cancel = settings, cancel
        self.layers = chosen_layers(self.loaded, options.layers, options.method)
        self.paths: tuple[str, ...] = tuple(layer.path for layer in self.layers)
        """Layers at which the raw maps are computed."""
        self._tracker = (
            Tracker(options.confidence, options.iou, self.targets) if self.task.explains("detection") else None
        )
        on_cpu = self.loaded.device.type == "cpu"
        self.frames_per_pass = pass_size(self.loaded, options)
        single = on_cpu and self.loaded.guard is None and self.loaded.gradients and self.method.quick
        self.workers = torch.get_num_threads() if single else 1
        """Passes at the same time."""
        self._pool: ThreadPoolExecutor | None = None
        self._local = threading.local()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def count_frames(self, nbytes: int) -> int:
        """Return how many frames of this size one call takes."""
        most = self.frames_per_pass * (self.workers * ROUNDS if self.workers > 1 else 1)
        return max(1, min(most, BYTES // max(1, nbytes)) // self.frames_per_pass) * self.frames_per_pass

    def geometry(self, pixels: Pixels) -> Geometry:
        """Return how frames of this size lie in the model's input."""
        return self._prepare(self.loaded, pixels).geometry

    def replay(self, records: Iterable[FrameRecord]) -> None:
        """Track the objects of an earlier run's frames, to continue their numbers."""
        if self._tracker is not None:
            for record in records:
                self._tracker.update(record.answers)

    @own_modes()
    def __call__(self, frames: Sequence[Frame]) -> list[FrameRecord]:
        """Return each frame's record. Raises Cancelled."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled
        groups = [frames[i : i + self.frames_per_pass] for i in range(0, len(frames), self.frames_per_pass)]
        # Others wait for the whole call, as they would for a pass: the workers have locks of their own.
        with self.loaded.lock if self.workers > 1 else nullcontext():
            tracker = self._tracker
            if tracker is None:
                return [*chain.from_iterable(self._map_in_order(groups, self._record_classes))]
            boxes = self._map_in_order(frames, self._find_boxes)
            tracked = ((found, tracker.update(found.predictions)) for found in boxes)
            return [*self._map_in_order(tracked, lambda entry: self._record_boxes(*entry))]

    def _map_in_order(self, items: Iterable[T], work: Callable[[T], R]) -> Iterator[R]:
        """Yield `work` of each item in order, by all workers."""
        if self.workers == 1:
            return map(work, items)
        if self._pool is None:
            # Made once for all of them.
            self.loaded.fastest_adapter(self.layers)
            self._pool = torch_pool(self.workers, "frames")
        return in_order(items, work, self._pool, self.workers + 1)

    def _run(self, work: Callable[[LoadedModel], T]) -> T:
        """Return `work(loaded)` for this thread's model."""
        if self.workers == 1:
            return self.explainer.with_oom_fallback(lambda loaded, _: work(self.with_vocabulary(loaded)))
        if (loaded := getattr(self._local, "loaded", None)) is None:
            loaded = self._local.loaded = self.loaded.copy()
            loaded.lock = PassLock(loaded.device)
        return work(loaded)

    def _prepare(self, loaded: LoadedModel, pixels: Pixels) -> ModelInput:
        return loaded.adapter.prepare(pixels, self.options.preprocessing)

    def _pass(self, loaded: LoadedModel, frame: Frame) -> Evidence:
        return evidence_at(loaded, self._prepare(loaded, frame.pixels), self.options.layers, self.options.method)

    def _answers(self, evidence: Evidence, options: Options) -> tuple[Sequence[Prediction], str]:
        """Return a frame's predictions; none, and why, where its answer cannot be used."""
        try:
            return self.task.decoder.decode(evidence, options), ""
        except AnswerProblem as problem:
            return (), str(problem)

    def _record_classes(self, frames: Sequence[Frame]) -> list[FrameRecord]:
        def work(loaded: LoadedModel) -> list[FrameRecord]:
            if self.frames_per_pass == 1:
                return [self._record_class(frame, self._pass(loaded, frame)) for frame in frames]
            parts = run_pass(loaded, [self._prepare(loaded, frame.pixels) for frame in frames], self.layers)
            answers = [(part, self._answers(part, self.options)[0]) for part in parts]
            usable = {part: [self._target(part, predictions)] for part, predictions in answers if predictions}
            if self.method.gradients and usable:
                backward([*usable], [*usable.values()])
            return [self._record_class(frame, part) for frame, part in zip(frames, parts, strict=True)]

        return self._run(work)

    def _target(self, evidence: Evidence, predictions: Sequence[Prediction]) -> Target:
        """Return the mapped class: the named one, or the best."""
        return self.find_class(next(iter(self.targets), None), predictions, evidence)

    def _record_class(self, frame: Frame, evidence: Evidence) -> FrameRecord:
        predictions, problem = self._answers(evidence, self.options)
        if problem:
            return FrameRecord(frame.number, frame.pts, frame.seconds, "", 0.0, (), problem)
        best, labels = predictions[0], evidence.loaded.adapter.labels
        index = self.targets[0] if self.targets else best.index
        score, raws = self.task.scorer.class_score(evidence, predictions, index), None
        if score is not None:
            raws = self._maps(evidence, [self._target(evidence, predictions)])[0]
        answer = AnswerRecord(labels[index], index, score or 0.0, raws=raws)
        return FrameRecord(frame.number, frame.pts, frame.seconds, best.label, best.score, (answer,))

    def _find_boxes(self, frame: Frame) -> FrameBoxes:
        assert self._tracker is not None
        options = replace(self.options, confidence=self._tracker.low)

        def work(loaded: LoadedModel) -> FrameBoxes:
            evidence = self._pass(loaded, frame)
            return FrameBoxes(frame, evidence, *self._answers(evidence, options))

        return self._run(work)

    def _record_boxes(self, boxes: FrameBoxes, tracks: Sequence[int | None]) -> FrameRecord:
        mapped = self._choose_mapped(boxes, tracks)
        targets = [self._box_target(prediction) for prediction in mapped.values()]
        # A second try, after there was no memory, needs a pass of its own.
        passes = iter((boxes.evidence,))

        def work(loaded: LoadedModel) -> list[RawMaps]:
            return self._maps(next(passes, None) or self._pass(loaded, boxes.frame), targets)

        raws = dict(zip(mapped, self._run(work), strict=True))
        answers = tuple(
            AnswerRecord(p.label, p.index, p.score, p.box, track, None if track is None else raws.get(track))
            for track, p in zip(tracks, boxes.predictions, strict=True)
        )
        frame = boxes.frame
        return FrameRecord(frame.number, frame.pts, frame.seconds, "", 0.0, answers, boxes.problem)

    def _choose_mapped(self, boxes: FrameBoxes, tracks: Sequence[int | None]) -> dict[int, Prediction]:
        """Return the boxes that get a map, by their objects' numbers."""
        only = self.settings.only
        tracked = {
            track: prediction
            for track, prediction in zip(tracks, boxes.predictions, strict=True)
            if track is not None
            and (not self.targets or prediction.index in self.targets if only is None else track == only)
        }
        # Those followed longest first: a map must not go from one object to another and back.
        return {track: tracked[track] for track in sorted(tracked)[: self.settings.objects]}

    def _box_target(self, box: Prediction) -> Target:
        anchors = () if box.anchor is None else (box.anchor,)
        return Target(box.index, box.label, anchors, self.options.part, both_ways=self.options.evidence == "both")

    def _maps(self, evidence: Evidence, targets: Sequence[Target]) -> list[RawMaps]:
        if not targets:
            self.method.run(evidence, (), Request(head=self.options.head))
            return []
        with stopped_by(self._cancel):
            maps, self.paths = self.compute_maps(evidence, targets)
        return maps
