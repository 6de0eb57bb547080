"""Explain pictures with a model chosen by name, and replay recipes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from common.errors import ModelProblem
from common.settings import MIB
from common.settings import settings as environment
from explain.evidence.cache import ByteCache
from explain.evidence.evidence import Evidence
from explain.evidence.layers import find, named
from explain.evidence.resident import RESIDENCY, Residency, Resident
from explain.evidence.resident import device as find_device
from explain.explanation import Explanation, explain
from explain.options import RECIPE_OPTIONS, Options
from explain.picture.image import Image
from explain.questions import Question, settings
from explain.recipe import Recipe
from models.catalog import spec

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from explain.progress import Progress
    from models.adapter import Layer, ModelSpec

EVIDENCE: ByteCache[Evidence] = ByteCache(
    lambda: int(environment().evidence_mb * MIB), lambda evidence: evidence.nbytes
)
"""Evidence of the latest pictures: another class, method or scale of one of them costs no pass."""
T = TypeVar("T")
MAX_VOCABULARIES = 16
"""Lists of words for which an open-vocabulary model is kept ready."""


class Explainer:
    """A model that explains pictures; it stays loaded until other models need its memory.

    >>> from explain import Explainer
    >>> Explainer("efficientnet-lite0")("bus.jpg", top_k=1)
    Explanation('bus.jpg', 'efficientnet-lite0': minibus 0.62; 1 heatmaps)
    """

    def __init__(
        self,
        model: str = "efficientnet-lite0",
        *,
        device: str = "auto",
        residency: Residency = RESIDENCY,
        progress: Progress | None = None,
    ) -> None:
        """Load a model of the catalogue.

        `device`: auto, cpu, cuda, cuda:N or mps. Raises ModelProblem or WeightsProblem, one sentence each.
        """
        self.model: ModelSpec = spec(model)
        self._residency = residency
        self._device = find_device(device)
        self._progress = progress
        self._notes: tuple[str, ...] = ()
        self.resident: Resident = self._load(anywhere=device == "auto")
        # A model that was unloaded to make room must not live on in a cache.
        residents = residency.residents()
        EVIDENCE.discard(lambda evidence: evidence.resident.origin not in residents)

    def _load(self, *, anywhere: bool) -> Resident:
        """Load the model, unloading others where the device is full; `anywhere`: on the CPU if it stays full."""
        try:
            return self._residency.get(self.model, self._device, self._progress)
        except torch.OutOfMemoryError:
            EVIDENCE.clear()
            self._residency.free()
        try:
            return self._residency.get(self.model, self._device, self._progress)
        except torch.OutOfMemoryError as error:
            if not anywhere:
                raise ModelProblem(
                    f"There is no room for {self.model.id} on {self._device}: use cpu, or close what else is on it."
                ) from error
        self._device = torch.device("cpu")
        self._notes = ("The GPU has no room for this model: this was computed on the CPU.",)
        return self._residency.get(self.model, self._device, self._progress)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return self.resident.adapter.labels

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that can be explained, in the order of execution, each with its (C, h, w)."""
        return self.resident.layers

    @property
    def default_layers(self) -> tuple[str, ...]:
        """Paths of the layers used where none are named."""
        return self.resident.default_layers

    def __call__(
        self,
        source: Any,
        *,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
        partial: Callable[[Explanation], None] | None = None,
        maps: bool = True,
        question: Question | None = None,
        **options: Any,
    ) -> Explanation:
        """Explain one picture: a path, bytes, PIL image, ndarray (H, W, 3), tensor (3, H, W) or Image.

        `options` are the fields of `explain.options.Options`. `question`: "where" is it, or "why" this class and not
        another; it sets part, method and layers (`explain.questions`), and options given as well override it.
        `progress` is called with (share, text); setting `cancel` raises Cancelled. `partial` is called about once a
        second with the unfinished explanation of a method that refines its map (D-RISE). `maps` False: predictions
        only. Raises ImageProblem or ModelProblem, one sentence each.
        """
        # The adapter's first part is its default: of prompts their contrast.
        first = {"part": self.resident.adapter.parts[0]} if question is None else settings(self.resident, question)
        chosen = Options.parse(first | options)
        image = Image.open(source)

        def work(resident: Resident, more: tuple[str, ...]) -> Explanation:
            evidence, key, milliseconds = self.evidence(resident, image, chosen)
            notes = (*image.notes, *more)
            made = explain(
                image,
                evidence,
                chosen,
                milliseconds=milliseconds,
                notes=notes,
                progress=progress,
                cancel=cancel,
                partial=partial,
                maps=maps,
            )
            # Only now, because its gradients count towards the cache's bytes.
            EVIDENCE.put(key, evidence)
            return made

        return self.with_oom_fallback(work)

    def with_oom_fallback(self, work: Callable[[Resident, tuple[str, ...]], T]) -> T:
        """Return `work(resident, notes)`, also where the GPU is full: after unloading other models, then on the CPU.

        `notes` are sentences that say which of these was needed.
        """
        try:
            return work(self.resident, self._notes)
        except torch.OutOfMemoryError:
            # Made room once; a second failure means that this picture does not fit the GPU at all.
            EVIDENCE.clear()
            self._residency.free(keep=self.resident)
        try:
            return work(self.resident, ("The GPU ran out of memory: other models were let go.",))
        except torch.OutOfMemoryError:
            EVIDENCE.clear()
            self._residency.free()
        resident = self._residency.get(self.model, torch.device("cpu"), self._progress)
        return work(resident, ("The GPU ran out of memory: this was computed on the CPU.",))

    def with_vocabulary(self, resident: Resident, options: Options, image: Image | None) -> Resident:
        """Return the model set to look for the vocabulary or the examples; unchanged where neither is given.

        `image` is the picture that the examples are boxes in; None where there is no picture yet.
        """
        if not options.vocabulary and not options.examples:
            return resident
        adapter = resident.adapter
        if not adapter.takes_words:
            raise ModelProblem(f"{self.model.id} knows a fixed list of classes: choose a CLIP, YOLOE or YOLO-World.")
        if options.examples and not adapter.takes_examples:
            raise ModelProblem(f"{self.model.id} is asked in words: only a YOLOE takes examples.")
        key = (options.vocabulary, options.examples, image.sha256 if image and options.examples else "")
        if (found := resident.vocabularies.get(key)) is None:
            with resident.lock:
                if image and options.examples:
                    boxes, names = zip(*options.examples, strict=True)
                    adapted = adapter.with_examples(image.pixels, boxes, names)
                else:
                    adapted = adapter.with_classes(options.vocabulary)
            found = resident.vocabularies[key] = resident.with_adapter(adapted)
            while len(resident.vocabularies) > MAX_VOCABULARIES:
                resident.vocabularies.pop(next(iter(resident.vocabularies)), None)
        return found

    def evidence(
        self, resident: Resident, image: Image, options: Options
    ) -> tuple[Evidence, tuple[object, ...], dict[str, float]]:
        """Return the Evidence of a picture, cached or from one pass, its key in `EVIDENCE`, and the milliseconds spent.

        `resident` is the one that `with_oom_fallback` passes.
        """
        resident = self.with_vocabulary(resident, options, image)
        adapter = resident.adapter
        if options.preprocessing not in adapter.preprocessings:
            raise ModelProblem(
                f"{self.model.id} cannot take a picture as {options.preprocessing!r}: "
                f"use one of {', '.join(adapter.preprocessings)}."
            )
        layers = chosen_layers(resident, options.layers)
        key = (image.sha256, adapter.weights_sha256, self.model.id, layers, options.preprocessing, resident.device)
        milliseconds: dict[str, float] = {}
        if (evidence := EVIDENCE.get(key)) is None:
            # Built once for a model, so it is not part of this picture's time.
            resident.fastest_adapter(layers)
            start = time.perf_counter()
            given = adapter.prepare(image.taken(adapter.channels, self.model.id), options.preprocessing)
            prepared = time.perf_counter()
            evidence = Evidence(resident, given, layers)
            if resident.device.type == "cuda":
                torch.cuda.synchronize(resident.device)
            done = time.perf_counter()
            milliseconds = {"prepare": (prepared - start) * 1e3, "model": (done - prepared) * 1e3}
        return evidence, key, milliseconds


def chosen_layers(resident: Resident, names: tuple[str, ...]) -> tuple[Layer, ...]:
    """Return layers by any names that `explain.evidence.layers.named` accepts, each once; by default the model's."""
    wanted = names if resident.gradients else ()
    paths = tuple(dict.fromkeys(path for name in wanted for path in named(resident, name)))
    return find(resident, paths or resident.default_layers)


def replay(recipe: Recipe | str | Path, source: Any) -> Explanation:
    """Repeat the explanation of a recipe, given as a Recipe or as its file: the same map, bit for bit on one machine.

    Raises ModelProblem where the file is no recipe, or picture or weights differ.

    >>> from explain import Explainer, replay
    >>> replay(Explainer()("bus.jpg", top_k=1).recipe, "bus.jpg")
    Explanation('bus.jpg', 'efficientnet-lite0': minibus 0.62; 1 heatmaps)
    """
    if not isinstance(recipe, Recipe):
        try:
            recipe = Recipe.model_validate_json(Path(recipe).read_text("utf-8"))
        except (OSError, ValueError, TypeError) as error:
            raise ModelProblem(
                f"{recipe} is not a recipe: give the recipe.json that an explanation was saved with."
            ) from error
    explainer = Explainer(recipe.model, device=recipe.device)
    image = Image.open(source)
    if image.sha256 != recipe.picture_sha256:
        raise ModelProblem(f"{image.name} is not the picture of this recipe: give it {recipe.picture_name}.")
    if explainer.resident.adapter.weights_sha256 != recipe.weights_sha256:
        raise ModelProblem(f"The weights of {recipe.model} are not those of this recipe: put the same file in place.")
    targets = recipe.targets if recipe.per != "picture" else ()
    return explainer(
        image,
        method=recipe.method,
        layers=recipe.layers,
        targets=targets,
        masks=recipe.masks,
        **{name: getattr(recipe, name) for name in RECIPE_OPTIONS},
    )
