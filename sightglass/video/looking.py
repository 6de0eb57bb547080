"""Run the model over frames."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.explain.evidence import evidence as batched_pass
from sightglass.explain.evidence.determinism import PassLock, own_modes
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.explanation import method_of, takes_several
from sightglass.explain.methods.method import Request
from sightglass.explain.tasks import decode, resolve, task_of
from sightglass.models.adapter import Target
from sightglass.models.labels import class_index
from sightglass.video.clips.ahead import BYTES, in_order, single_threaded
from sightglass.video.parts import Seen, Sighting
from sightglass.video.track import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.picture.decode import Pixels
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Geometry, ModelInput
    from sightglass.video.clips.clip import Frame
    from sightglass.video.settings import Settings


T = TypeVar("T")
ROUNDS = 2
"""Passes of each worker in one call: the model is locked for as long."""


class Looking:
    """Turns frames into records, in their order.

    On a CPU several workers run the model at the same time, each with one thread: PyTorch's threads wait for each other
    at every layer, and in busy loops, which keep drawing and encoding from the cores.
    """

    def __init__(
        self, explainer: Explainer, given: dict[str, Any], settings: Settings, cancel: threading.Event | None = None
    ) -> None:
        """`given`: options as for an Explainer's call. Raises ModelProblem for those that a clip cannot have."""
        self.explainer, self.settings, self._cancel = explainer, settings, cancel
        given = dict(given)
        question = given.pop("question", None)
        self.options = explainer.options(given, question)
        if self.options.examples:
            raise ModelProblem("Boxes around examples are of one picture: for a clip, give words.")
        self.resident = self._ready(explainer.resident)
        adapter = self.resident.adapter
        self.task = task_of(adapter)
        if not self.task.followed:
            raise ModelProblem(f"{adapter.spec.id} names nothing that could be followed: use a classifier or detector.")
        if self.task.gives_pixels and (
            self.options.at or self.options.against is not None or self.options.per != "class"
        ):
            raise ModelProblem("A clip shows where the pixels of one class come from: leave at, against and per out.")
        if self.options.preprocessing not in adapter.preprocessings:
            raise ModelProblem(f"{adapter.spec.id} cannot take a frame as {self.options.preprocessing!r}.")
        self.method = method_of(self.resident, self.options)
        self.signed = self.method.signed and self.options.evidence == "both"
        """Whether maps keep their signs."""
        self.layers = chosen_layers(self.resident, self.options.layers)
        self.wanted = tuple(class_index(target, adapter.labels) for target in self.options.targets)
        if len(self.wanted) > 1 and not self.task.has_boxes:
            raise ModelProblem("A clip has one map in each frame: name one class, or none for whatever it says.")
        self.paths: tuple[str, ...] = tuple(layer.path for layer in self.layers)
        """What each raw map was computed at."""
        self._tracker = Tracker(self.options.confidence) if self.task.has_boxes else None
        self.together = takes_several(self.resident, self.options)
        """Whether several frames go through the model in one pass."""
        on_cpu = self.resident.device.type == "cpu" and self.resident.gradients and self.method.quick
        self.workers = torch.get_num_threads() if on_cpu else 1
        """Passes at the same time."""
        self._pool: ThreadPoolExecutor | None = None
        self._own = threading.local()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _ready(self, resident: Resident) -> Resident:
        return self.explainer.with_vocabulary(resident, replace(self.options, examples=()), None)

    @property
    def in_a_pass(self) -> int:
        """Frames in one pass."""
        if not self.together:
            return 1
        return batched_pass.ON_CPU if self.resident.device.type == "cpu" else batched_pass.ON_GPU

    @property
    def batch(self) -> int:
        """Frames in one call."""
        return self.in_a_pass * (self.workers * ROUNDS if self.workers > 1 else 1)

    def together_of(self, nbytes: int) -> int:
        """Return how many frames of this size one call takes."""
        return max(1, min(self.batch, BYTES // max(1, nbytes)) // self.in_a_pass) * self.in_a_pass

    def geometry(self, pixels: Pixels) -> Geometry:
        """Return how frames of this size lie in the model's input."""
        return self._prepare(self.resident, pixels).geometry

    def replay(self, records: Iterable[Sighting]) -> None:
        """Replay an earlier run's frames, to continue object numbers."""
        if self._tracker is not None:
            for record in records:
                self._tracker.update(record.seen)

    @own_modes()
    def __call__(self, frames: Sequence[Frame]) -> list[Sighting]:
        """Return each frame's record. Raises Cancelled."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled
        if self.workers > 1:
            # Others wait for the whole call, as they would for a pass: the workers have locks of their own.
            with self.resident.lock:
                return self._side_by_side(frames)
        evidences: list[Evidence] = self.explainer.with_oom_fallback(lambda resident, _: self._passes(resident, frames))
        return [*self._record(frames, evidences)]

    def _passes(self, resident: Resident, frames: Sequence[Frame]) -> list[Evidence]:
        return (self._in_one_pass if self.together else self._one_by_one)(resident, frames)

    def _record(self, frames: Sequence[Frame], evidences: Sequence[Evidence]) -> Iterator[Sighting]:
        for frame, evidence in zip(frames, evidences, strict=True):
            if self._tracker is None:
                yield self._with_room(frame, evidence, partial(self._class_record, frame))
            else:
                boxes = self._with_room(frame, evidence, self._boxes)
                explain = partial(self._box_record, frame, found=boxes, tracks=self._tracker.update(boxes))
                yield self._with_room(frame, evidence, explain)

    def _with_room(self, frame: Frame, evidence: Evidence, work: Callable[[Evidence], T]) -> T:
        """Return `work(evidence)`, retried after a full GPU."""
        passes = iter((evidence,))

        def run_once(resident: Resident, _: tuple[str, ...]) -> T:
            reused = next(passes, None)
            return work(self._one_by_one(resident, [frame])[0] if reused is None else reused)

        return self.explainer.with_oom_fallback(run_once)

    def _side_by_side(self, frames: Sequence[Frame]) -> list[Sighting]:
        """Return the records of several workers, boxes followed in order."""
        if self._pool is None:
            # Made once for all of them.
            self.resident.fastest_adapter(self.layers)
            self._pool = single_threaded(self.workers, "looking")
        pool = self._pool
        groups = [frames[i : i + self.in_a_pass] for i in range(0, len(frames), self.in_a_pass)]
        tracker = self._tracker
        if tracker is None:
            recorded = in_order(groups, self._class_records, pool, self.workers + 1)
            return [record for group in recorded for record in group]
        boxed = in_order(groups, self._find_boxes, pool, self.workers + 1)
        followed = ((*entry, tracker.update(entry[2])) for entry in boxed)
        return [*in_order(followed, lambda entry: self._box_record(*entry), pool, self.workers)]

    def _class_records(self, frames: Sequence[Frame]) -> list[Sighting]:
        return [*self._record(frames, self._passes(self._worker(), frames))]

    def _find_boxes(self, frames: Sequence[Frame]) -> tuple[Frame, Evidence, Sequence[Prediction]]:
        (frame,), (evidence,) = frames, self._passes(self._worker(), frames)
        return frame, evidence, self._boxes(evidence)

    def _worker(self) -> Resident:
        """Return this thread's copy of the loaded model."""
        if (resident := getattr(self._own, "resident", None)) is None:
            resident = self._own.resident = self.resident.copy()
            resident.lock = PassLock(resident.device)
        return resident

    def _prepare(self, resident: Resident, pixels: Pixels) -> ModelInput:
        adapter = resident.adapter
        if adapter.channels not in (1, 3):
            raise ModelProblem(f"{adapter.spec.id} takes {adapter.channels} channels, and a clip has RGB frames.")
        return adapter.prepare(pixels, self.options.preprocessing)

    def _one_by_one(self, resident: Resident, frames: Sequence[Frame]) -> list[Evidence]:
        resident = self._ready(resident)
        return [Evidence(resident, self._prepare(resident, frame.pixels), self.layers) for frame in frames]

    def _in_one_pass(self, resident: Resident, frames: Sequence[Frame]) -> list[Evidence]:
        resident = self._ready(resident)
        parts = batched_pass.run_pass(
            resident, [self._prepare(resident, frame.pixels) for frame in frames], self.layers
        )
        if self.method.gradients:
            batched_pass.backward(parts, [self._class(part) for part in parts])
        return [*parts]

    def _class(self, evidence: Evidence) -> Target:
        """Return the mapped class: the named one, or the best."""
        options = replace(self.options, targets=self.wanted[:1], top_k=1)
        return resolve(options, decode(evidence, options), evidence)[0]

    def _class_record(self, frame: Frame, evidence: Evidence) -> Sighting:
        """Return the record of the named class, or the best."""
        predictions, labels = decode(evidence, self.options), evidence.resident.adapter.labels
        best = predictions[0]
        index = self.wanted[0] if self.wanted else best.index
        score, raws = self.task.class_score(evidence, predictions, index), None
        if score is not None:
            raws = self._raws(evidence, [self._class(evidence)])[0]
        seen = Seen(labels[index], index, score or 0.0, raws=raws)
        return Sighting(frame.number, frame.pts, frame.seconds, best.label, best.score, (seen,))

    def _boxes(self, evidence: Evidence) -> Sequence[Prediction]:
        assert self._tracker is not None
        return decode(evidence, replace(self.options, confidence=self._tracker.low))

    def _box_record(
        self, frame: Frame, evidence: Evidence, found: Sequence[Prediction], tracks: Sequence[int | None]
    ) -> Sighting:
        # Those followed longest first: a map must not go from one object to another and back.
        mapped = [
            (track, p)
            for track, p in zip(tracks, found, strict=True)
            if track is not None and self._has_map(track, p.index)
        ]
        mapped = sorted(mapped, key=lambda pair: pair[0])[: self.settings.objects]
        both = self.options.evidence == "both"
        targets = [
            Target(p.index, p.label, () if p.anchor is None else (p.anchor,), self.options.part, both_ways=both)
            for _, p in mapped
        ]
        raws = dict(zip((track for track, _ in mapped), self._raws(evidence, targets), strict=True))
        seen = tuple(
            Seen(p.label, p.index, p.score, p.box, track, None if track is None else raws.get(track))
            for track, p in zip(tracks, found, strict=True)
        )
        return Sighting(frame.number, frame.pts, frame.seconds, "", 0.0, seen)

    def _has_map(self, track: int, index: int) -> bool:
        if self.settings.only is not None:
            return track == self.settings.only
        return not self.wanted or index in self.wanted

    def _raws(self, evidence: Evidence, targets: Sequence[Target]) -> list[tuple[Any, ...]]:
        """Return the raw maps of each target, one per layer."""
        if not targets:
            return []
        with stopped_by(self._cancel):
            output = self.method.run(evidence, targets, Request(self.options.masks, self.options.head))
        self.paths = output.layers
        layers = [layer.detach().to(torch.float32).cpu().numpy() for layer in output.maps]
        return [tuple(layer[i] for layer in layers) for i in range(len(targets))]
