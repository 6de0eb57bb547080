"""Draw scenes into arrays, once for many reads by training and evaluation."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from models.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 250
SCENES_PER_SEED = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of scenes; `data` is one of `scenes.DATA`, or `honest`."""

    task: str
    data: str = "plain"
    held_out: bool = False

    def spec(self, number: int) -> scenes.Spec:
        if self.data != "honest":
            return scenes.sample(number, task=self.task, data=self.data, held_out=self.held_out)
        # The scenes of the cheats, but with stamp and weave by chance, whatever the class.
        spec = scenes.sample(number, task=self.task, data="stamped", held_out=self.held_out)
        stamp, weave = np.random.default_rng([number, self.held_out]).random(2) < (0.5, 0.25)
        spec = scenes.with_stamp(spec) if stamp else scenes.without_stamp(spec)
        return scenes.with_background(spec, "weave") if weave else spec


@dataclass(frozen=True, slots=True)
class Pool:
    """N drawn scenes."""

    pixels: NDArray[np.uint8]
    """(N, side, side, 3) RGB"""
    boxes: tuple[NDArray[np.float32], ...]
    """(n, 4) of each scene: xyxy as shares of the side."""
    classes: tuple[NDArray[np.int64], ...]
    """(n,) of each scene."""

    def __len__(self) -> int:
        return len(self.pixels)

    def labels(self) -> NDArray[np.int64]:
        """Return the class of each scene, (N,), if each has one labelled thing."""
        return np.array([classes[0] for classes in self.classes])


def drawn(specs: Sequence[scenes.Spec]) -> Pool:
    """Draw the scenes of these specs."""
    made = [scenes.draw(spec) for spec in specs]
    boxes = [np.array([thing.box for thing in scene.objects], np.float32).reshape(-1, 4) for scene in made]
    return Pool(
        np.stack([scene.pixels for scene in made]),
        tuple(box / np.float32(spec.size) for box, spec in zip(boxes, specs, strict=True)),
        tuple(np.array([thing.index for thing in scene.objects], np.int64) for scene in made),
    )


def fill(source: Source, count: int, *, seed: int = 0, processes: int = 1) -> Pool:
    """Draw `count` scenes of a source, the same for a seed with any number of processes."""
    starts = range(seed * SCENES_PER_SEED, seed * SCENES_PER_SEED + count, CHUNK)
    chunks = [(start, min(start + CHUNK, starts.start + count)) for start in starts]
    return joined(in_processes(partial(_chunk, source), chunks, processes))


def in_processes(work: Callable[[T], R], items: Sequence[T], processes: int, *, chunksize: int = 1) -> list[R]:
    """Return what `work` makes of each item, in order; each process gets one thread."""
    if processes == 1:
        return [work(item) for item in items]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_single_thread) as workers:
        return list(workers.map(work, items, chunksize=chunksize))


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _chunk(source: Source, ends: tuple[int, int]) -> Pool:
    return drawn([source.spec(number) for number in range(*ends)])


def joined(parts: Sequence[Pool]) -> Pool:
    """Concatenate pools."""
    return Pool(
        np.concatenate([part.pixels for part in parts]),
        tuple(boxes for part in parts for boxes in part.boxes),
        tuple(classes for part in parts for classes in part.classes),
    )
