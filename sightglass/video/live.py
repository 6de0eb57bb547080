"""Explain the frames of a camera, one viewer's at a time.

A frame is `SGF1`, its number as u32, little-endian, and a JPEG. Numbers of frames grow; the answer to one settles all
before it. `ui/live/live.js` grows the raw map as `sightglass.explain.maps.heatmap.scale_maps` does.
"""

import struct
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from sightglass.common.errors import ModelProblem, Problem, describe_invalid
from sightglass.common.files import Json
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.explain.maps.boxes import find_same
from sightglass.explain.methods import METHODS
from sightglass.explain.methods import method as find_method
from sightglass.explain.options import MAX_WORDS
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import contours
from sightglass.explain.rendering.render import samples
from sightglass.explain.tasks import task_of
from sightglass.models.adapter import Prediction, Target
from sightglass.models.spec import ModelSpec
from sightglass.video.frames import FrameExplainer

MAGIC = b"SGF1"
HEADER = struct.Struct("<4sI")
MAX_BYTES = 2 * 2**20
"""Maximum bytes of a frame."""
MAX_PIXELS = 2_100_000
"""Maximum pixels of a frame: 1920 × 1080, and a little more."""
SAME_OBJECT = 0.3
"""IoU with its last box from which a box is the same object: at 10 frames/s people walk half their own width."""
PATIENCE = 15
"""Frames without a match after which an object is lost."""
MAX_SIDE = 112
"""Rows and columns of the values of a map that has no cells of its own, at most."""
Share = Annotated[float, Field(ge=0, le=1)]
Grids = tuple[NDArray[np.uint16], ...]
"""The cells of a map, or its values, 0..65535 over its extent; none of an empty map."""


@dataclass(frozen=True)
class Pin:
    """The class or object that a viewer follows."""

    index: Annotated[int, Field(ge=0)]
    """A class."""
    box: tuple[Share, Share, Share, Share] | None = None
    """xyxy as shares of the frame's width and height; None: the class, wherever it is."""


@dataclass(frozen=True)
class Message:
    """What a viewer wants: another model, or another pin."""

    type: Literal["choose", "pin"]
    model: str | None = None
    method: str | None = None
    options: dict[str, Any] | None = None
    pin: Pin | None = None


_MESSAGE = TypeAdapter(Message)


class BadMessage(Problem):
    """A viewer sent an invalid message: its socket is closed."""


def parse_frame(data: bytes) -> tuple[int, bytes]:
    """Return a frame's number and JPEG. Raises BadMessage."""
    if len(data) <= HEADER.size or not data.startswith(MAGIC):
        raise BadMessage("A frame is SGF1, its number and a JPEG: this message is something else.")
    return HEADER.unpack_from(data)[1], data[HEADER.size :]


def parse_message(text: str) -> Message:
    """Return a text message. Raises BadMessage."""
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "It"
        reason = f"{field} {describe_invalid(first['msg'])}."
        raise BadMessage(f"A text message is a JSON object of type choose or pin. {reason}") from error


class LiveExplainer:
    """One viewer's state between frames; not thread-safe."""

    def __init__(self, frames: FrameExplainer) -> None:
        self.frames = frames
        self.requested_pin: Pin | None = None
        """What to follow from the next frame on; None: whatever the model says first. May be set at any time."""
        self._pin: Pin | None = None
        self._followed: Prediction | None = None
        """The chosen object at its last position."""
        self._missed = 0
        """Frames in a row without it."""

    def explain(self, data: bytes) -> tuple[Json, Grids]:
        """Return a JPEG frame's answer, and the map's values, uint16, if it has any. Raises ImageProblem.

        `answers`: the best, and the class that is followed: last, where it is not among them. `map`: what describes the
        map; None where what is followed is not in the frame. `place`: which of the boxes it is of. `lost`: whether
        the followed object was out of sight for too long to be followed on. `ms`: milliseconds of each stage.
        """
        start = time.perf_counter()
        image = Image.open(data, name="frame", max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
        decoded = (time.perf_counter() - start) * 1e3
        answer, grids = self.frames.explainer.with_oom_fallback(lambda loaded, _notes: self._explain(loaded, image))
        answer["ms"]["decode"] = decoded
        return answer, grids

    def _explain(self, loaded: LoadedModel, image: Image) -> tuple[Json, Grids]:
        frames = self.frames
        evidence, milliseconds = frames.explainer.fresh_evidence(frames.with_vocabulary(loaded), image, frames.options)
        start = time.perf_counter()
        predictions = frames.task.decoder.decode(evidence, frames.options)
        size = (image.width, image.height)
        target, index, lost = self._target(evidence, predictions, size)
        described: Json | None = None
        grids: Grids = ()
        if target is not None:
            if target.index is not None and all(p.index != target.index for p in predictions):
                # A classifier's followed class is listed, also where it is not among the best.
                score = frames.task.scorer.class_score(evidence, predictions, target.index) or 0.0
                predictions = (*predictions, Prediction(target.label, target.index, score))
            described, grids = self._map(evidence, target, predictions, index)
        milliseconds["maps"] = (time.perf_counter() - start) * 1e3
        answers = [
            {"label": p.label, "index": p.index, "score": round(p.score, 4)}
            | ({} if p.box is None else {"box": _round(p.box), "anchor": p.anchor})
            | ({} if p.box is None else {"marks": [{"kind": "polygon", "points": [*map(_round, p.outline)]}]})
            for p in predictions
        ]
        answer = {"size": [*size], "answers": answers, "map": described, "place": index, "lost": lost}
        return answer | {"ms": milliseconds}, grids

    def _target(
        self, evidence: Evidence, predictions: tuple[Prediction, ...], size: tuple[int, int]
    ) -> tuple[Target | None, int | None, bool]:
        """Return the target, its box index, and whether it was lost."""
        if self.requested_pin is not self._pin:
            self._pin, self._followed, self._missed = self.requested_pin, None, 0
        frames, pin, lost = self.frames, self._pin, False
        detects = frames.task.explains("detection")
        if pin is not None and pin.box is not None and detects:
            if (index := self._follow(pin, evidence, predictions, size)) is not None:
                return self._box(evidence, predictions, index), index, False
            if self._missed <= PATIENCE:
                return None, None, False
            # Somebody may have chosen something else meanwhile.
            if self.requested_pin is pin:
                self.requested_pin = None
            pin, lost = None, True
        if pin is not None:
            has_score = frames.task.scorer.class_score(evidence, predictions, pin.index) is not None
            return frames.find_class(pin.index, predictions, evidence) if has_score else None, None, False
        if detects:
            return (self._box(evidence, predictions, 0), 0, lost) if predictions else (None, None, lost)
        return frames.find_class(None, predictions, evidence), None, False

    def _follow(
        self, pin: Pin, evidence: Evidence, predictions: tuple[Prediction, ...], size: tuple[int, int]
    ) -> int | None:
        """Return the box of the pinned object; None in a frame without it. `size`: width and height of the frame."""
        if (followed := self._followed) is None:
            assert pin.box is not None
            x0, y0, x1, y1 = (edge * side for edge, side in zip(pin.box, size * 2, strict=True))
            followed = Prediction(evidence.loaded.adapter.labels[pin.index], pin.index, 0.0, (x0, y0, x1, y1))
        index = find_same(followed, predictions, SAME_OBJECT)
        self._missed = self._missed + 1 if index is None else 0
        self._followed = followed if index is None else replace(followed, box=predictions[index].box)
        return index

    def _box(self, evidence: Evidence, predictions: tuple[Prediction, ...], index: int) -> Target:
        options = replace(self.frames.options, per="detection", targets=(index,))
        return self.frames.task.decoder.resolve(options, predictions, evidence)[0]

    def _map(
        self, evidence: Evidence, target: Target, predictions: tuple[Prediction, ...], index: int | None
    ) -> tuple[Json, Grids]:
        """Return a map's description, and what it is drawn from, unless it is empty."""
        (raws,), layers = self.frames.compute_maps(evidence, [target])
        (heatmap,) = self.frames.scale_maps([raws], [target], layers, evidence.geometry)
        field, task = heatmap.field, self.frames.task
        values = samples(field.values)
        if (grid := contours.cells_of(values, field)) is None:
            grid = contours.over_extent(values, field, (min(values.shape[0], MAX_SIDE), min(values.shape[1], MAX_SIDE)))
        same = [prediction.score for prediction in predictions if prediction.index == target.index]
        score = max(same) if index is None else predictions[index].score
        description: Json = {
            "label": target.label,
            "score": round(score, 4),
            "sure": not task.sure or task.is_sure(score),
            "state": heatmap.state,
            "shape": [*values.shape],
            "grid": [*grid.shape],
            "extent": [round(edge, 4) for edge in field.extent],
            "seen": [*field.seen],
        }
        return description, (np.floor(grid + 0.5).astype(np.uint16),) if heatmap.state == "ok" else ()


def _round(numbers: Iterable[float]) -> list[float]:
    return [round(number, 1) for number in numbers]


OPTIONS = ("part", "layers", "preprocessing", "confidence", "iou", "vocabulary")
"""Options of the engine that a viewer may set besides the method."""


def choose(explainer: Explainer, method: str | None, options_by_name: Mapping[str, Any]) -> FrameExplainer:
    """Return a viewer's model, method and options (of `OPTIONS`); raise ModelProblem for what a camera cannot take."""
    spec = explainer.model
    if not task_of(spec).scored:
        raise ModelProblem(f"{spec.id} names nothing in a picture: choose a model that classifies or draws boxes.")
    if not explainer.loaded.gradients:
        raise ModelProblem(
            f"{spec.id} exposes no internals, and other methods are too slow here: choose another model."
        )
    if unknown := sorted(set(options_by_name) - set(OPTIONS)):
        raise ModelProblem(f"There is no option {unknown[0]} here: use {', '.join(OPTIONS)}.")
    chosen = find_method(method or find_method_for(spec, None))
    if chosen.slow:
        other = METHODS[find_method_for(spec, None)].name
        raise ModelProblem(f"{chosen.name_for(spec.task)} is too slow for a camera: use {other}.")
    options = explainer.options({**options_by_name, "method": chosen.id})
    if (count := len(options.vocabulary)) > MAX_WORDS:
        raise ModelProblem(f"A camera looks for at most {MAX_WORDS} things, not {count:,}: give fewer.")
    return FrameExplainer(explainer, options)


def find_method_for(spec: ModelSpec, method: str | None) -> str:
    """Return the id of a method that is no slow one: this, the model's, or GradCAM."""
    return next(name for name in (method, spec.method, "gradcam") if name and not METHODS[name].slow)


EXECUTOR = ThreadPoolExecutor(1, "live")
"""One thread that serves all viewers in turn, each with its latest frame: a pass uses all cores that it may."""
ELSEWHERE = ThreadPoolExecutor(4, "live-elsewhere")
"""Threads for models whose passes are other processes': nobody else waits for these."""


def executor_for(*models: LoadedModel) -> ThreadPoolExecutor:
    """Return the threads that serve models together."""
    return ELSEWHERE if any(loaded.adapter.apart for loaded in models) else EXECUTOR
