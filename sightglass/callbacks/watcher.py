"""Explain the same pictures at each epoch of a training."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sightglass.batch.records import QUALITY, overlay
from sightglass.callbacks import libraries, watched
from sightglass.callbacks.apart import copy_apart, find_network
from sightglass.callbacks.watched import EpochAnswer, WatchedEpoch, WatchedPicture, WatchedTraining
from sightglass.common import users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import file_stem, write_file
from sightglass.common.settings import settings
from sightglass.explain.evidence.determinism import own_modes, own_random_state
from sightglass.explain.explainer import Explainer
from sightglass.explain.maps import boxes
from sightglass.explain.methods import method as find_method
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.models.adapters.tasks import check_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.explanation import Explanation

LOGGER = logging.getLogger(__name__)
MOST = 32
"""Pictures that are watched."""


class Watcher:
    """Explain the same pictures at each epoch, into a folder that page Batch opens.

    >>> from sightglass.callbacks import Watcher
    >>> watcher = Watcher(["bus.jpg"], labels=["bus", "car"])  # doctest: +SKIP
    >>> watcher.step(model, epoch)  # at the end of each epoch  # doctest: +SKIP

    A training is never stopped or changed: what goes wrong is logged once, and the network keeps its mode, device,
    gradients, hooks and statistics, the process its random numbers.
    """

    def __init__(
        self,
        pictures: Sequence[Any],
        folder: str | Path | None = None,
        *,
        labels: Any = None,
        preprocess: Any = None,
        task: str | None = None,
        network: str = "",
        targets: Sequence[int | str | None] | None = None,
        inside: Sequence[watched.Rectangle | None] | watched.Rectangle | None = None,
        place: str = "the rectangle",
        method: str | None = None,
        layers: Sequence[str] = (),
        every: int = 1,
        name: str = "training",
        device: str = "cpu",
    ) -> None:
        """Open the pictures: paths, arrays, Pillow images, or float tensors (C, h, w) that are ready for the network.

        `folder`: by default a new one where page Batch looks for runs. `labels`, `preprocess`, `task`, `layers` are
        those of `Explainer`; `network` is the dotted path of the network in what is trained. `targets`: the class of
        each picture whose map is made; None: the best of each epoch. `inside`: a rectangle xyxy in pixels, for each
        picture or for all, inside which the evidence is measured, and `place` what it is called. `every`: the first
        epoch and each N-th after it. `device`: where pictures are explained. Raises Problem, one sentence, for what
        is wrong now; nothing is raised later.
        """
        if not 1 <= len(pictures) <= MOST:
            raise Problem(f"A watcher takes 1 to {MOST} pictures, not {len(pictures)}.")
        if every < 1:
            raise Problem(f"every is {every}: give 1 for each epoch, 5 for each fifth.")
        self._sources = [one if _is_ready(one) else Image.open(one) for one in pictures]
        self._targets = None if targets is None else list(targets)
        if self._targets is not None and len(self._targets) != len(pictures):
            raise ModelProblem(f"There are {len(pictures)} pictures and {len(self._targets)} targets: give one each.")
        self._model = {"labels": labels, "preprocess": preprocess, "task": task and check_task(task), "device": device}
        self._options: dict[str, Any] = {"layers": tuple(layers)} if layers else {}
        if method is not None:
            self._options["method"] = find_method(method).id
        self._network, self._every, self._name = network, every, name
        self._rectangles = _read_rectangles(inside, [_size(one) for one in self._sources])
        started = datetime.now(UTC)
        if folder is None:
            stamp = f"{started:%Y-%m-%d-%H%M%S-%f}"
            folder = users.folder(settings().batches) / f"training-{file_stem(name, max_length=40)}-{stamp}"
        self.folder = Path(folder)
        watched.begin(
            self.folder,
            WatchedTraining(
                name=name,
                pictures=tuple(map(self._describe, range(len(pictures)))),
                place=place,
                method=self._options.get("method", ""),
                started=started,
            ),
        )
        self._calls, self._last, self._ended = 0, None, 0.0  # type: int, int | None, float
        self._logged = False

    def _describe(self, index: int) -> WatchedPicture:
        width, height = _size(self._sources[index])
        rectangle = self._rectangles[index]
        area = None
        if rectangle is not None:
            area = (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1]) / (width * height)
        source, number = self._sources[index], f"picture {index + 1}"
        target = None if self._targets is None else self._targets[index]
        return WatchedPicture(
            # An array has no name of its own.
            name=source.name if isinstance(source, Image) and source.name != "picture" else number,
            target="" if target is None else str(target),
            rectangle=rectangle,
            area=area,
        )

    def step(self, model: Any, epoch: int) -> None:
        """Explain the pictures with the network as it is after an epoch, if it is this epoch's turn.

        `model`: a module of PyTorch, wrapped or not, or a model of Keras. Raises nothing.
        """
        if epoch == self._last or not _is_first_process():
            return
        self._last, turn = epoch, self._calls % self._every == 0
        self._calls += 1
        if not turn:
            return
        began = time.perf_counter()
        try:
            try:
                with own_random_state(), own_modes():
                    answers = self._explain(model, epoch)
                made = WatchedEpoch(number=int(epoch), answers=answers, **self._measure(began))
            except Exception as problem:
                self._log(problem, epoch)
                reason = str(problem) if isinstance(problem, Problem) else f"{type(problem).__name__}: {problem}"
                made = WatchedEpoch(number=int(epoch), problem=reason[:300], **self._measure(began))
            watched.append(self.folder, made)
        except Exception as problem:
            self._log(problem, epoch)
        self._ended = time.perf_counter()

    def _measure(self, began: float) -> dict[str, Any]:
        now = time.perf_counter()
        share = (now - began) / (now - self._ended) if self._ended else None
        return {"milliseconds": (now - began) * 1e3, "share": share}

    def _log(self, problem: Exception, epoch: Any) -> None:
        if not self._logged:
            LOGGER.warning("epoch %s could not be watched, the training goes on: %s", epoch, problem, exc_info=True)
        self._logged = True

    def _explain(self, model: Any, epoch: int) -> tuple[EpochAnswer, ...]:
        network = find_network(model, self._network)
        keras = type(network).__module__.partition(".")[0] == "keras"
        given = copy_apart(network) if isinstance(network, nn.Module) and not keras else network
        explainer = Explainer(given, name=self._name, **self._model)
        options = self._options | ({"top_k": 1} if self._targets is None else {"targets": self._targets})
        every = explainer(self._sources, **options)
        return tuple(self._keep(one, index, epoch) for index, one in enumerate(every))

    def _keep(self, explanation: Explanation, index: int, epoch: int) -> EpochAnswer:
        """Write a picture under its map, and return what is known of it."""
        path = watched.locate(self.folder, index, epoch)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, to_jpeg(overlay(explanation, VIEWER_STYLE), QUALITY))
        best = explanation.predictions[0] if explanation.predictions else None
        heatmap = explanation.heatmaps[0] if explanation.heatmaps else None
        rectangle, inside, score = self._rectangles[index], None, None
        if heatmap is not None and rectangle is not None and heatmap.state == "ok":
            inside = boxes.share_in_box(heatmap, rectangle)
        if heatmap is not None and heatmap.target.index is not None:
            scores = explanation.evidence.resident.adapter.class_scores(explanation.evidence.outputs)
            score = float(scores[0, heatmap.target.index].detach())
        return EpochAnswer(
            answer="" if best is None else best.label,
            score=None if best is None else best.score,
            target="" if heatmap is None else heatmap.target.label,
            target_score=score,
            inside=inside,
        )

    def attach_to_yolo(self, yolo: Any) -> None:
        """Watch what a `YOLO` of Ultralytics trains, by its callbacks: its averaged weights, as it saves."""
        libraries.attach_to_yolo(yolo, self.step)

    def make_lightning_callback(self) -> Any:
        """Return a callback for a `Trainer` of Lightning."""
        return libraries.make_lightning_callback(self.step)

    def make_keras_callback(self) -> Any:
        """Return a callback for `fit` of Keras."""
        return libraries.make_keras_callback(self.step)


def _is_ready(source: Any) -> bool:
    return isinstance(source, torch.Tensor) and source.is_floating_point() and source.ndim == 3


def _size(source: Any) -> tuple[int, int]:
    """Return a picture's (width, height)."""
    return (source.width, source.height) if isinstance(source, Image) else (source.shape[2], source.shape[1])


def _read_rectangles(inside: Any, sizes: Sequence[tuple[int, int]]) -> list[watched.Rectangle | None]:
    """Return the rectangle of each picture; raise Problem for one that is none, or outside of its picture."""
    if inside is None:
        return [None] * len(sizes)
    if len(inside) == 4 and all(isinstance(one, (int, float)) for one in inside):
        inside = [inside] * len(sizes)
    if len(inside) != len(sizes):
        raise Problem(f"There are {len(sizes)} pictures and {len(inside)} rectangles: give one for each, or for all.")
    found: list[watched.Rectangle | None] = []
    for rectangle, (width, height) in zip(inside, sizes, strict=True):
        if rectangle is None:
            found.append(None)
            continue
        x0, y0, x1, y1 = boxes.parse_place(rectangle, width, height)
        x0, y0, x1, y1 = max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)
        if x0 >= x1 or y0 >= y1:
            raise Problem(f"The rectangle {rectangle!r} has no area in its picture: give (x0, y0, x1, y1), in pixels.")
        found.append((x0, y0, x1, y1))
    return found


def _is_first_process() -> bool:
    """Return whether this is the process that writes, where several train together."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0)
