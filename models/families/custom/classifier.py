"""Probe and adapt classifiers, embedders and networks of pixels of unknown origin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import is_changed, to_eval
from sightglass.models.adapters.classifier import Classifier, Embedder, PreparedAdapter
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter
from sightglass.models.adapters.tasks import Kind, kind_of, logits_of, same_answer
from sightglass.models.families.custom.trial import Answer, Trial, answer_in, map_in, photographs
from sightglass.models.layers import Layer
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec, PreprocessingTable, Task

STEP = 32
"""What the sides of most segmentation networks' inputs are multiples of."""
LIBRARIES = ("torchvision", "timm")
"""Packages whose architectures have usual classes."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Facts about a module from passes of photographs."""

    task: Task
    count: int
    """Classes, numbers, or entries of a vector; 2 of a module that answers with one number for yes or no."""
    kind: Kind
    preprocessing: Preprocessing
    why: str
    """Source of the inferred preprocessing."""
    notes: tuple[str, ...]
    step: int = 1
    """Step of a segmentation network: see `Segmenter.step`."""
    pixels: bool = False
    """Whether its one number is of each pixel, as a depth."""
    activation: str = ""
    """Path of the last softmax or sigmoid, which is left out."""


def probe(module: nn.Module, stated: PreprocessingTable, spec: ModelSpec, task: Task | None = None) -> ProbeResult:
    """Probe a module's input and output; `stated`: its known preprocessing. A last softmax or sigmoid is removed.

    `task` is the caller's; None: inferred. Raises ModelProblem if it takes no picture of a usual size or returns no row
    of numbers.
    """
    module = to_eval(module)
    trial = Trial(module, spec, stated, numbers=task == "regress")
    preprocessing, why = trial.find_input()
    pictures, step = photographs(preprocessing), 1
    runs = [run for picture in pictures if isinstance(run := trial.run(picture), Answer)]
    answers, last, maps = [run.answer for run in runs], runs[0].last, runs[0].maps
    count = answers[0].shape[1]
    # A linear layer has no bounds, whatever its answers happen to be, nor has what a library averages of them.
    end = [*module.modules()][-1] if last is None and library_of(module) in LIBRARIES else last
    bare = isinstance(end, (nn.Linear, nn.Conv2d)) and not is_changed(end)
    if not bare and kind_of(answers) not in ("logits", "logit"):
        answers += trial.confirm(preprocessing)
    if maps:
        height, width = preprocessing.size
        # Those of torchvision take any size.
        step = 1 if library_of(module) == "torchvision" else math.gcd(height, width, STEP)
        taller = photographs(replace(preprocessing, size=(height, width + step)))
        if isinstance(trial.run(taller[0]), Exception):
            # It takes one size only.
            preprocessing = replace(preprocessing, crop="squash")
    several = not maps and count > 1 and (isinstance(last, nn.Sigmoid) or kind_of(answers, bare) == "sigmoids")
    task, notes = _infer_task(spec, module, task, count, maps=maps, several=several)
    if not same_answer(trial.first, answers[0]):
        notes += ("Its answer to the same picture differs from pass to pass, and so do its maps.",)
    path = ""
    ends = nn.Sigmoid if task == "multilabel" or count == 1 else (nn.Softmax, nn.LogSoftmax)
    if task in ("classify", "multilabel") and isinstance(last, ends):
        path = next(path for path, part in module.named_modules() if part is last)
        module.set_submodule(path, nn.Identity())
        logits = trial.run(pictures[0])
        if isinstance(logits, Answer) and same_answer(last(logits.answer), answers[0]):
            notes += ("Its logits are explained, before its last activation.",)
        else:
            module.set_submodule(path, last)
            path = ""
    kind: Kind = "numbers" if task in ("regress", "embed") else kind_of(answers, bool(path) or bare)
    if kind == "probabilities" and task == "multilabel":
        kind = "sigmoids"
    if kind in ("logits", "logit") and not (bare or path or library_of(module) in LIBRARIES):
        notes += ("Its answers were taken for logits: on photographs they are no probabilities.",)
    if kind in ("probabilities", "probability", "sigmoids"):
        notes += ("It returns probabilities: their logarithms are taken for its logits.",)
    count = 2 if count == 1 and kind != "numbers" else count
    return ProbeResult(task, count, kind, preprocessing, why, notes, step, maps and task == "regress", path)


def _infer_task(
    spec: ModelSpec, module: nn.Module, task: Task | None, count: int, *, maps: bool, several: bool
) -> tuple[Task, tuple[str, ...]]:
    """Return the task, and a note where it is inferred; raise ModelProblem for a stated one that does not fit.

    `maps`: whether each pixel has `count` numbers; `several`: each number is a probability by itself.
    """
    if maps and task == "regress" and count > 1:
        raise ModelProblem(f"{spec.id} returns {count} maps of numbers: wrap it to return one row of numbers.")
    if not maps and task == "segment":
        raise ModelProblem(f"{spec.id} returns one row of numbers, and no class for each pixel: state another task.")
    if maps and task not in ("regress", "segment"):
        # Without a task in the table it is classify.
        if task is not None and (spec.in_memory or task != "classify"):
            raise ModelProblem(f"{spec.id} returns a map for each class, as segmentation does: state task segment.")
        return "segment", ("It was taken for segmentation: it returns a map of each class.",)
    if task is None and library_of(module) == "timm" and getattr(module, "num_classes", None) == 0:
        return "embed", ("It was taken for a vector to compare: timm built it without classes.",)
    if task in (None, "classify") and several:
        # Their softmax would be nobody's numbers.
        return "multilabel", ("It was taken for several classes at once: each has a probability of its own.",)
    return task or "classify", ()


def library_of(module: nn.Module) -> str:
    """Return the name of the package that a module's class is of."""
    return type(module).__module__.partition(".")[0]


def channels_of(module: nn.Module) -> int:
    """Return the number of channels of the first convolution of a library's architecture."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


SATURATED = 1 - 1e-6
"""Probability above which little but rounding is left of its gradient."""


PASSING = (
    *("AvgPool", "AdaptiveMaxPool", "Dropout"),
    *("Pooling", "GaussianNoise", "Regularization", "InputLayer", "Reshape", "Permute", "Padding"),
)
"""In the names of modules without a map of their own: they shrink another's, drop parts of it or pass it on."""


class CustomInput(PreparedAdapter):
    """Find the answer in whatever a module returns."""

    kind: Kind = "logits"
    activation = ""
    """Path of the module's last softmax or sigmoid, which is left out."""

    def cut(self) -> None:
        """Leave the last activation out."""
        if self.activation:
            self.module.set_submodule(self.activation, nn.Identity())

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer before pooling; of a transformer the last tokens that attention reads."""
        kinds = {layer.path: type(self.module.get_submodule(layer.path)).__name__ for layer in layers}
        candidates = [layer for layer in layers if not any(word in kinds[layer.path] for word in PASSING)]
        return super().default_layers(candidates or layers)

    def _answer(self, tensor: Tensor) -> Tensor:
        output, chosen = self.module(tensor), self.spec.weights.output
        numbers = self.measures_pixels
        answer = answer_in(output, chosen) if self.has_row else map_in(output, chosen, numbers=numbers)
        assert answer is not None
        return logits_of(answer, self.kind)


class CustomClassifier(CustomInput, Classifier):
    """A module whose answer names classes or quantities."""

    def remarks(self, outputs: Any) -> tuple[str, ...]:
        saturated = self.gradients and self.kind in ("probabilities", "probability", "sigmoids")
        if saturated and float(self.class_scores(outputs)[0].detach().max()) > SATURATED:
            return (
                "It is saturated, so next to no gradient is left: give logits, without the last softmax or sigmoid.",
            )
        return ()


class CustomSegmenter(CustomInput, Segmenter):
    """A module with a class per pixel."""


class CustomDepth(CustomInput, PixelNumbers):
    """A module with a number per pixel."""


class CustomEmbedder(CustomInput, Embedder):
    """A module whose answer is a vector to compare."""


CustomAdapter = CustomClassifier | CustomEmbedder | CustomSegmenter | CustomDepth


def adapt(
    spec: ModelSpec,
    module: nn.Module,
    sha256: str,
    task: Task | None,
    known: PreprocessingTable,
    *,
    names_in_file: Callable[[int], Sequence[str]] = lambda _: (),
    notes: tuple[str, ...] = (),
    why: str | None = None,
) -> CustomAdapter:
    """Probe a module and return its adapter.

    `known`: its preprocessing, so far as that is known; `names_in_file` returns so many names of classes; `why`: where
    the preprocessing is from, empty where that is said already.
    """
    result = probe(module, known, spec, task)
    spec = spec.as_segmentation() if result.task == "segment" else replace(spec, task=result.task)
    notes += result.notes
    names: tuple[str, ...] = ()
    if result.task != "embed":
        usual = labels.voc() if result.task == "segment" else labels.imagenet()
        usual = usual if library_of(module) in LIBRARIES else ()
        binary = result.kind in ("logit", "probability")
        names, more = labels.for_classes(spec, result.count, names_in_file(result.count), usual, binary=binary)
        notes += more
    if why := result.why if why is None else why:
        notes += note_preprocessing(spec, result.preprocessing, why)
    kinds: dict[str, type[CustomAdapter]] = {"segment": CustomSegmenter, "embed": CustomEmbedder}
    kind = kinds.get(result.task, CustomDepth if result.pixels else CustomClassifier)
    adapter = kind(spec, module, names, result.preprocessing, sha256, notes=notes)
    adapter.kind, adapter.activation = result.kind, result.activation
    if isinstance(adapter, Segmenter):
        adapter.step = result.step
    return adapter


def note_preprocessing(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    """Return a note on an inferred preprocessing; none where the row states all of it."""
    if spec.preprocessing.complete:
        return ()
    mean, key = ", ".join(f"{number:.3g}" for number in preprocessing.mean), spec.where_stated("preprocessing")
    return (f"Its preprocessing was inferred ({why}): {preprocessing}, mean {mean}; {key} states another.",)
