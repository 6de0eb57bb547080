"""What is done to a batch of pictures, whoever hands it out: decoded, explained, written, and its rows made."""

from __future__ import annotations

import copy
import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from common.errors import Cancelled, ImageProblem, ModelProblem, Problem
from explain.batch import batched_pass, journal, records
from explain.batch.item import Item, Unreachable
from explain.evidence.determinism import PassLock
from explain.evidence.layers import find as find_layers
from explain.explainer import EVIDENCE, Explainer, layer_paths
from explain.explanation import Explanation
from explain.methods import method as find_method
from explain.options import RECIPE_OPTIONS, Options
from explain.questions import settings as settings_for
from explain.recipe import Recipe, versions
from models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from explain.evidence.resident import Resident
    from explain.picture.image import Image
    from models.adapter import Layer

AT_ONCE = 64 * 2**20
"""Bytes of decoded pictures that one worker holds; a batch of larger ones goes through the model in parts."""


class Work:
    """What is done to each batch; `lane` gives each worker its own."""

    def __init__(
        self,
        explainer: Explainer,
        given: dict[str, Any],
        maps: int,
        side: int | None,
        put: Callable[[str, bytes], None],
    ) -> None:
        """`given`: options as for an Explainer's call, `question` among them. `put` writes a file by its name.

        Raises ModelProblem where the model or an option is none.
        """
        given = dict(given)
        question = given.pop("question", None)
        first = (
            {"part": explainer.resident.adapter.parts[0]}
            if question is None
            else settings_for(explainer.resident, question)
        )
        self.options = options = Options.parse(first | given)
        if maps < 1:
            raise ModelProblem(f"maps is {maps!r}: ask for one map a picture at least.")
        self.explainer, self.maps, self.side, self.put = explainer, maps, side, put
        self._plainly = dict(given) | ({"question": question} if question else {})
        # Words are the same for all pictures; examples are boxes of one.
        words = replace(options, examples=())
        resident: Resident = explainer.with_vocabulary(explainer.resident, words, None)
        self.batched = batched_pass.possible(resident, options)
        self.apart = self.batched and resident.device.type == "cpu"
        """Whether each worker runs the model by itself."""
        self.stop = threading.Event()
        """Set where nobody waits for the rest any more."""
        self.watch: Callable[[Explanation], object] | None = None
        """Is shown every explanation, in any worker's thread."""
        self.device = str(resident.device)
        self._resident = resident
        self._turn: AbstractContextManager[Any] = nullcontext() if self.apart else threading.Lock()
        names = layer_paths(resident, options.layers) or resident.default_layers
        self._layers: tuple[Layer, ...] = find_layers(resident.layers[0], names, resident.adapter.module)
        # Made once, for all workers.
        resident.fastest_adapter(self._layers)
        if options.preprocessing not in resident.adapter.preprocessings:
            raise ModelProblem(f"{explainer.model.id} cannot take a picture as {options.preprocessing!r}.")
        # Said once and now, not of every picture.
        for named in (*options.targets, *options.classes):
            if isinstance(named, str):
                class_index(named, resident.adapter.labels)

    @property
    def settings(self) -> dict[str, Any]:
        """All that results depend on: what an earlier run had differently cannot be gone on with."""
        resident, options = self._resident, self.options
        spec = resident.adapter.spec
        recipe = Recipe(
            picture_sha256="",
            picture_name="",
            model=spec.id,
            weights_sha256=resident.origin.adapter.weights_sha256,
            method=find_method(options.method or (spec.method if resident.gradients else "drise")).id,
            layers=tuple(layer.path for layer in self._layers),
            targets=(),
            masks=options.masks,
            **{name: getattr(options, name) for name in RECIPE_OPTIONS},
            device=str(resident.device),
            versions=versions(),
        )
        return {
            "recipe": recipe.model_dump(mode="json"),
            "targets": options.targets,
            "maps": self.maps,
            "side": self.side,
        }

    def lane(self) -> Work:
        """The same for one more worker: where all run the model at once, each holds a lock of its own."""
        if not self.apart:
            return self
        # What is recorded in a pass is told apart by its thread (explain/evidence/evidence.py), so one module serves
        # them all.
        own = copy.copy(self)
        own._resident = copy.copy(self._resident)
        own._resident.lock = PassLock(own._resident.device)
        return own

    def entries(self, batch: Sequence[Item]) -> list[journal.Entry]:
        """What becomes of each picture; its files are written. Raises Cancelled where nobody waits any more."""
        found: dict[str, journal.Entry] = {}
        for part in self._opened(batch, found):
            for item, made in zip(part, self._explained(list(part.values())), strict=True):
                if isinstance(made, Problem):
                    found[item.key] = {"key": item.key, "stamp": item.stamp, "problem": str(made)}
                    continue
                stem = records.stem(item)
                records.write(self.put, stem, made, self.side)
                if self.watch is not None:
                    self.watch(made)
                found[item.key] = {"key": item.key, "stamp": item.stamp, "rows": records.rows(item, made, stem)}
        return [found[item.key] for item in batch]

    def _opened(self, batch: Sequence[Item], found: dict[str, journal.Entry]) -> Iterator[dict[Item, Image]]:
        """The batch's pictures, decoded, in parts that fit the memory; what cannot be read is in `found`."""
        part: dict[Item, Image] = {}
        for item in batch:
            try:
                part[item] = item.open()
            except ImageProblem as problem:
                # What could not be fetched today may be there tomorrow: no picture has an empty stamp.
                stamp = "" if isinstance(problem, Unreachable) else item.stamp
                found[item.key] = {"key": item.key, "stamp": stamp, "problem": str(problem)}
            if sum(image.pixels.nbytes for image in part.values()) > AT_ONCE:
                yield part
                part = {}
        if part:
            yield part

    def _explained(self, images: list[Image]) -> list[Explanation | Problem]:
        if not self.batched:
            return [self._alone(image) for image in images]
        adapter = self._resident.adapter
        channels, way = adapter.channels, self.options.preprocessing
        try:
            given = [adapter.prepare(image.taken(channels, adapter.spec.id), way) for image in images]
        except Problem:
            # Of those that are not what the model takes, each is told so by itself.
            return [self._alone(image) for image in images]
        try:
            with self._turn:
                made = batched_pass.explained(self._resident, images, given, self._layers, self.options, self.maps)
            return [*made]
        except (Problem, torch.OutOfMemoryError):
            if len(images) == 1:
                return [self._alone(images[0])]
        half = len(images) // 2
        return [*self._explained(images[:half]), *self._explained(images[half:])]

    def _alone(self, image: Image) -> Explanation | Problem:
        """One picture the plain way: a detector, a slow method, or what did not work in company."""
        options = self._plainly
        if self.stop.is_set():
            raise Cancelled
        with self._turn:
            try:
                if self.explainer.model.task == "classify" and not self.options.targets:
                    said = self.explainer(image, maps=False, **options)
                    options = options | {"targets": tuple(p.index for p in said.predictions[: self.maps])}
                made = self.explainer(image, cancel=self.stop, **options)
            except Problem as problem:
                return problem
        # Thousands of pictures that nobody looks at again would push out those that somebody does.
        EVIDENCE.discard(lambda evidence: evidence is made.evidence)
        return made
