"""Probe and adapt classifiers, embedders and networks of pixels of unknown origin."""

import logging
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn

from sightglass.common import packaged
from sightglass.common.errors import ModelProblem, describe_error, from_machine
from sightglass.models import labels
from sightglass.models.adapter import is_changed, to_eval
from sightglass.models.adapters.classifier import Classifier, Embedder, Logits, PreparedAdapter
from sightglass.models.adapters.segmenter import PixelNumbers, Segmenter
from sightglass.models.adapters.tasks import COARSEST, CONTRASTS, Kind, kind_of, logits_of, same_answer
from sightglass.models.demo.pictures import SCENES, example_source
from sightglass.models.families.custom.outputs import answer_in, describe_output, map_in
from sightglass.models.layers import Layer
from sightglass.models.preprocess import IMAGENET, INFERRED, MAX_CHANNELS, Preprocessing, prepare
from sightglass.models.spec import MAX_INPUT_SIDE, ModelSpec, PreprocessingTable, Task

LOGGER = logging.getLogger(__name__)
Item = TypeVar("Item")
STEP = 32
"""What the sides of most segmentation networks' inputs are multiples of."""
LIBRARIES = ("torchvision", "timm")
"""Packages whose architectures have usual classes."""
SIDES = (224, 32, 28, 64, 96, 128, 112, 160, 192, 256, 299, 384, 48, 448, 512)
"""Input sides in pixels, in the order in which they are tried."""
SMALL = {1: 32, 2: 32, 4: 32, 8: 64}
"""Usual input side of networks by their total stride, where that is small."""
USUAL_CHANNELS = (1, 3, 4)
"""Numbers that are channels, and no sides, where a size has three numbers."""
SIZE_NAMES = ("img_size", "image_size", "input_size", "imgsz", "image_shape", "img_shape", "input_shape")
"""Names of the size of an input."""
TABLES = ("pretrained_cfg", "default_cfg", "config", "cfg", "hparams")
"""Attributes of a module that hold its settings."""
OF_NUMBERS = (nn.RNNBase, nn.RNNCellBase)
"""Layers whose `input_size` is a number of features."""
NO_PICTURES = {nn.Conv3d: "volumes or clips", nn.Conv1d: "sequences, such as sound", nn.Embedding: "numbers of words"}
"""What a network takes that begins with such a layer."""
LAYERS = (*NO_PICTURES, nn.Conv2d, nn.Linear)
NO_SIZE = (TypeError, AttributeError, NotImplementedError)
"""Exceptions that no other size or number of channels mends."""
UNDIFFERENTIATED = "does not require grad"
"""In the error of a forward that takes a gradient without one."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a photograph."""

    inputs: tuple[tuple[nn.Module, torch.Size], ...]
    """The layers (`LAYERS`) in the order of their calls, and the shape of what each was given."""
    answer: Tensor | None = None
    """(1, n); where `maps` (pixels, n); None where the pass failed."""
    cells: int = 0
    """Height of the coarsest map inside; 0 without one."""
    maps: bool = False
    """Whether it has a number for each class in each pixel."""
    last: nn.Module | None = None
    """The layer that makes the answer."""
    error: Exception | None = None
    """What the module raised, where the pass failed."""


@cache
def _photographs() -> tuple[NDArray[np.uint8], ...]:
    """Return three packaged photographs, drawings where their packages are missing, uint8 (H, W, 3) RGB."""
    pictures = []
    for name in [*packaged.photographs(), *SCENES][:3]:
        source, _ = example_source(name)
        with Pillow.fromarray(source) if isinstance(source, np.ndarray) else Pillow.open(source) as picture:
            picture.thumbnail((640, 640))
            pictures.append(np.asarray(picture.convert("RGB")))
    return tuple(pictures)


def photographs(how: Preprocessing) -> list[Tensor]:
    """Return the packaged photographs, squeezed, as inputs (1, C, h, w)."""
    how = replace(how, crop="squash", divide_by=None)
    channels = [0, 1, 2] if how.channels == 1 else [channel % 3 for channel in range(how.channels)]
    return [prepare(picture[:, :, channels], how, "trained").tensor for picture in _photographs()]


@dataclass(eq=False)
class _Calls:
    """What the modules of one pass were given, and what they returned."""

    inputs: list[tuple[nn.Module, torch.Size]] = field(default_factory=list)
    outputs: list[tuple[nn.Module, Tensor]] = field(default_factory=list)
    returned: Any = None
    """What the whole module returned."""
    error: Exception | None = None

    def note_input(self, part: nn.Module, given: Any) -> None:
        """Note what a layer was given."""
        if isinstance(part, LAYERS) and given and isinstance(given[0], Tensor):
            self.inputs.append((part, given[0].shape))

    def note_output(self, part: nn.Module, _given: Any, output: Any) -> None:
        """Note what a module returned."""
        if isinstance(output, Tensor):
            self.outputs.append((part, output))

    def coarsest(self) -> int:
        """Return the height of the coarsest map; 0 without one."""
        return min((each.shape[-2] for _, each in self.outputs if each.ndim == 4 and each.shape[-1] > 1), default=0)

    def maker_of(self, answer: Tensor, module: nn.Module) -> nn.Module | None:
        """Return the part of a module that made an answer in its only call."""
        makers = [part for part, each in self.outputs if _is_same(each, answer) and part is not module]
        once = makers and [part for part, _ in self.outputs].count(makers[0]) == 1
        return makers[0] if once else None


def _is_same(output: Tensor, answer: Tensor) -> bool:
    """Return whether an output is an answer, or the row that the answer was squeezed from."""
    return output is answer or (answer._base is output and output.shape == answer.shape)


class Trial:
    """Passes of photographs through a module; `numbers`: whether a map without an axis of classes is an answer."""

    def __init__(self, module: nn.Module, spec: ModelSpec, stated: PreprocessingTable, *, numbers: bool) -> None:
        self.module, self.spec, self.stated, self.numbers = module, spec, stated, numbers
        self.differentiates = False
        """Whether its forward takes gradients, and runs only with them."""

    def find_input(self) -> tuple[Preprocessing, str, Tensor]:
        """Return an input that the module takes, how it was found and its first answer; raise ModelProblem."""
        search = _InputSearch(self)
        first: _Attempt | None = None
        for attempt in search.attempts():
            if attempt.result.answer is not None:
                return self._shrink(attempt.how, attempt.why, attempt.result)
            if first is None:
                first = attempt
                self._check_order(attempt.how)
        assert first is not None and first.result.error is not None
        error = first.result.error
        raise self._problem(error, first.how, of_any_size=len(search.reached) == 1) from error

    def _check_order(self, how: Preprocessing) -> None:
        """Raise ModelProblem for a module that takes a picture with its channels last."""
        try:
            answer = self.run(photographs(how)[0].permute(0, 2, 3, 1)).answer
        except ModelProblem:
            return
        if answer is not None:
            height, width = how.size
            raise ModelProblem(
                f"{self.spec.id} takes pictures with their channels last, ({height}, {width}, {how.channels}): wrap it "
                "in a module that gives it x.permute(0, 2, 3, 1)."
            )

    def channels_taken(self, attempt: Pass, channels: int, expected: int | None) -> int | None:
        """Return how many channels the first convolution takes, or None; raise ModelProblem if others are stated."""
        part, shape = attempt.inputs[0] if attempt.inputs else (None, torch.Size())
        if not isinstance(part, nn.Conv2d) or len(shape) != 4:
            return None
        taken = channels * part.in_channels // shape[1]
        if expected and taken != expected:
            raise ModelProblem(
                f"{self.spec.id} takes {taken} channels, and its preprocessing is for {expected}: give one number a "
                "channel."
            )
        return taken

    def input_of(self, size: tuple[int, int], channels: int) -> Preprocessing:
        """Return the preprocessing to an input of this (h, w), with what is stated."""
        crop = "centre" if size[0] == size[1] else "squash"
        stated = replace(self.stated.for_channels(channels), size=size)
        return Preprocessing(size, min(size), *IMAGENET, crop=crop).changed(stated)

    def _shrink(self, how: Preprocessing, why: str, attempt: Pass) -> tuple[Preprocessing, str, Tensor]:
        """Return what `find_input` does, of a smaller input for a network that shrinks pictures little."""
        (height, width), answer = how.size, attempt.answer
        shrunk = height // attempt.cells if attempt.cells else height
        if not why and how.size == (SIDES[0],) * 2 and not attempt.maps and (small := SMALL.get(shrunk)):
            smaller = self.input_of((small, small), how.channels)
            if (again := self.run(photographs(smaller)[0]).answer) is not None:
                return smaller, f"it shrinks a picture {shrunk} times only", again
        assert answer is not None
        return how, why or f"it takes {height} x {width}", answer

    def _problem(self, error: Exception, how: Preprocessing, *, of_any_size: bool) -> Exception:
        """Return the sentence on a failed pass; the traceback goes to the log."""
        LOGGER.info("%s failed on a photograph", self.spec.id, exc_info=error)
        if (machine := from_machine(error)) is not None:
            return machine
        channels, (height, width), reason = how.channels, how.size, describe_error(error)
        if UNDIFFERENTIATED in reason:
            return ModelProblem(
                f"{self.spec.id} takes gradients of its weights in forward, and they have none here: call "
                "requires_grad_() on these weights there."
            )
        if isinstance(error, NO_SIZE) or not re.search(r"size|shape|mat1|dimension|kernel|channels", reason, re.I):
            return ModelProblem(
                f"{self.spec.id} cannot run on a picture as float32 (1, {channels}, {height}, {width}) ({reason}): "
                "wrap it in a module that takes one."
            )
        if of_any_size:
            return ModelProblem(
                f"The layers of {self.spec.id} do not fit each other ({reason}): run it on one picture."
            )
        key = self.spec.where_stated("preprocessing.size")
        return ModelProblem(
            f"{self.spec.id} takes no picture {height} x {width} with {channels} channels ({reason}): say {key}."
        )

    def run(self, picture: Tensor) -> Pass:
        """Run the module on an input (1, C, h, w); raise ModelProblem for an output that is no answer."""
        calls = self._call(picture)
        if UNDIFFERENTIATED in str(calls.error) and not self.differentiates:
            calls = self._call(picture, differentiates=True)
            self.differentiates = calls.error is None
        inputs = tuple(calls.inputs)
        if inputs:
            self._check_first_layer(*inputs[0])
        if calls.error is not None:
            return Pass(inputs, error=calls.error)
        return self._read(calls, picture.shape[2])

    def _read(self, calls: _Calls, height: int) -> Pass:
        """Return what a pass shows; raise ModelProblem for an output that is no answer."""
        chosen, inputs = self.spec.weights.output, tuple(calls.inputs)
        answer = answer_in(calls.returned, chosen)
        pixels = map_in(calls.returned, chosen, numbers=self.numbers) if answer is None else None
        if pixels is not None and len(pixels) == 1 and pixels.shape[2] * COARSEST >= height:
            return Pass(inputs, pixels[0].detach().flatten(1).T, pixels.shape[2], maps=True)
        if answer is None or len(answer) != 1:
            raise ModelProblem(describe_output(self.spec, calls.returned))
        if not (answer.is_floating_point() or self.numbers):
            raise ModelProblem(f"{self.spec.id} returns a whole number, as of the likeliest class: return the scores.")
        return Pass(inputs, answer.detach(), calls.coarsest(), last=calls.maker_of(answer, self.module))

    def _call(self, picture: Tensor, *, differentiates: bool | None = None) -> _Calls:
        """Run the module on an input (1, C, h, w), with gradients where its forward takes some."""
        calls = _Calls()
        differentiates = self.differentiates if differentiates is None else differentiates
        try:
            with torch.set_grad_enabled(differentiates), ExitStack() as hooks:
                for part in self.module.modules():
                    if not isinstance(part, torch.jit.ScriptModule):
                        hooks.enter_context(part.register_forward_pre_hook(calls.note_input))
                        hooks.enter_context(part.register_forward_hook(calls.note_output))
                like = next((weight for weight in self.module.parameters() if weight.is_floating_point()), picture)
                calls.returned = self.module(picture.to(like, copy=True))
        # The caller's code may raise anything.
        except Exception as problem:
            calls.error = problem
        return calls

    def _check_first_layer(self, part: nn.Module, shape: torch.Size) -> None:
        """Raise ModelProblem for networks that begin with a layer for something else than pictures."""
        kind = next((kind for kind in NO_PICTURES if isinstance(part, kind)), None)
        # A volume of one channel and a picture have as many dimensions.
        if kind is not None and len(shape) == 4:
            raise ModelProblem(
                f"{self.spec.id} begins with a {kind.__name__}, which takes {NO_PICTURES[kind]}, and only pictures can "
                "be explained here."
            )


class _Attempt(NamedTuple):
    """An input that was tried, and what came of it."""

    how: Preprocessing
    why: str
    """What states its size; empty for a usual one."""
    result: Pass


class _Untried(Generic[Item]):
    """Items in the order of trying, each once; more may be added meanwhile."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._waiting = deque(items)
        self._listed = {*self._waiting}

    def __iter__(self) -> Iterator[Item]:
        while self._waiting:
            yield self._waiting.popleft()

    def add(self, item: Item, *, first: bool = False) -> None:
        """List an item, as the last or the `first`, unless it was listed before."""
        if item not in self._listed:
            self._listed.add(item)
            self._waiting.insert(0 if first else len(self._waiting), item)


class _InputSearch:
    """Inputs to try: usual ones, and others that follow from failed passes."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        stated = trial.stated
        self._expected = stated.channels_in or len(stated.mean or ()) or len(stated.std or ()) or None
        self._counts = _Untried([self._expected or getattr(trial.module, "channels", None) or 3])
        self.reached: set[int] = set()
        """Numbers of features in which pictures reached a linear layer that takes another number."""

    def attempts(self) -> Iterator[_Attempt]:
        """Yield passes of inputs, while there are others to try."""
        sides = self._trial.stated.sides
        for channels in self._counts:
            sizes = _Untried([(sides, "the numbers")] if sides else usual_sizes(self._trial.module))
            for size, why in sizes:
                how = self._trial.input_of(size, channels)
                result = self._trial.run(photographs(how)[0])
                yield _Attempt(how, why, result)
                taken = self._trial.channels_taken(result, channels, self._expected)
                other = 1 if taken is None and not self._expected else taken
                if other and other <= MAX_CHANNELS:
                    self._counts.add(other)
                if taken not in (None, channels) or isinstance(result.error, NO_SIZE):
                    break
                fitting = None if sides else self._fitting_side(size, result)
                if fitting is not None:
                    sizes.add(((fitting, fitting), ""), first=True)

    def _fitting_side(self, size: tuple[int, int], result: Pass) -> int | None:
        """Return the side that fits the linear layer at which a pass failed."""
        if not result.inputs:
            return None
        part, shape = result.inputs[-1]
        if not isinstance(part, nn.Linear):
            return None
        self.reached.add(shape[-1])
        # What reaches a linear layer grows with the picture's area.
        side = round(math.sqrt(math.prod(size) * part.in_features / shape[-1]))
        return side if 0 < side <= MAX_INPUT_SIDE else None


def usual_sizes(module: nn.Module) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield input sizes (h, w) in the order in which to try them, with the attribute that states one."""
    channels = channels_of(module)
    inner = (size for size, _ in _stated_sizes([*module.modules()][1:], channels))
    usual = [(side, side) for side in SIDES]
    yield from dict.fromkeys(_stated_sizes([module], channels))
    yield from ((size, "") for size in dict.fromkeys([usual[0], *inner, *usual]))


def _stated_sizes(parts: Iterable[nn.Module], channels: int) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield the input sizes (h, w) that modules of so many channels state, and the attribute."""
    for part in parts:
        if isinstance(part, OF_NUMBERS):
            continue
        stated = [(name, getattr(part, name, None)) for name in SIZE_NAMES]
        stated += [(table, _setting(getattr(part, table, None), key)) for table, key in product(TABLES, SIZE_NAMES)]
        for name, value in stated:
            sides = read_sides(value, channels)
            if sides is not None:
                yield sides, f"its {name}"


def _setting(settings: Any, key: str) -> Any:
    """Return a value of a module's settings; None without it."""
    return settings.get(key) if isinstance(settings, Mapping) else getattr(settings, key, None)


def read_sides(value: Any, channels: int) -> tuple[int, int] | None:
    """Return (h, w) of a size as frameworks write it, or None.

    It is one number, or (h, w), in which the channels may be first or last and a batch before them. Numbers may be
    floats or text, as in files of settings: `96.0`, `"96"`, `"96x128"`.
    """
    numbers = [*map(_whole, _numbers_of(value))]
    sides = numbers if len(numbers) <= 2 else _sides_among(numbers[-3:], channels)
    known = [side for side in sides if side is not None and 0 < side <= MAX_INPUT_SIDE]
    return (known[0], known[1]) if len(known) == len(sides) == 2 else None


def _numbers_of(value: Any) -> Sequence[Any]:
    """Return the numbers of a size, each in whatever spelling."""
    if isinstance(value, Mapping):
        return [value.get("height"), value.get("width")]
    value = _plain(value)
    if isinstance(value, str):
        value = re.split(r"\s*[x×,]\s*|\s+", value.strip(" ()[]").lower())
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return [*numbers] * 2 if len(numbers) == 1 else numbers


def _sides_among(numbers: Sequence[Any], channels: int) -> Sequence[Any]:
    """Return the sides among three numbers, of which one is that of channels."""
    first, last = (number == channels or number in USUAL_CHANNELS for number in (numbers[0], numbers[2]))
    return numbers[:2] if last and not first else numbers[1:]


def _plain(number: Any) -> Any:
    """Return a number, or numbers, of NumPy or PyTorch as Python's."""
    return number.tolist() if isinstance(number, (np.generic, np.ndarray, Tensor)) else number


def _whole(number: Any) -> int | None:
    """Return a whole number, also from a float or text; None otherwise."""
    number = _plain(number)
    if isinstance(number, str) and re.fullmatch(r"\d{1,9}(\.0*)?", number):
        number = float(number)
    if isinstance(number, bool) or not isinstance(number, int | float) or not float(number).is_integer():
        return None
    return int(number)


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
    differentiates: bool = False
    """Whether its forward takes gradients itself."""


@dataclass(frozen=True)
class _Answers:
    """What a module answered to photographs."""

    rows: list[Tensor]
    """(1, n) each, where `maps` (pixels, n)."""
    maps: bool
    last: nn.Module | None
    bare: bool
    """Whether they have no bounds, whatever they happen to be."""
    known: bool
    """Whether the module is of a library whose architectures return logits."""

    @property
    def count(self) -> int:
        return self.rows[0].shape[1]

    @property
    def several(self) -> bool:
        """Whether each number is a probability by itself."""
        if self.maps or self.count == 1:
            return False
        return isinstance(self.last, nn.Sigmoid) or kind_of(self.rows, self.bare) == "sigmoids"


def probe(module: nn.Module, stated: PreprocessingTable, spec: ModelSpec, task: Task | None = None) -> ProbeResult:
    """Probe a module's input and output, and remove a last softmax or sigmoid.

    `stated`: its known preprocessing; `task`: the caller's, None to infer it. Raises ModelProblem if it takes no usual
    picture or returns no row or map.
    """
    module = to_eval(module)
    trial = Trial(module, spec, stated, numbers=task == "regress")
    preprocessing, why, first = trial.find_input()
    pictures = photographs(preprocessing)
    answers = _ask(trial, pictures)
    step = 1
    if answers.maps:
        preprocessing, step = _fit_step(trial, preprocessing)
    task, notes = _infer_task(spec, module, task, answers.count, maps=answers.maps, several=answers.several)
    if not same_answer(first, answers.rows[0]):
        notes += ("Its answer to the same picture differs from pass to pass, and so do its maps.",)
    activation = ""
    if answers.last is not None and isinstance(answers.last, _activations_of(task, answers.count)):
        activation = _remove_activation(trial, answers.last, pictures[0], answers.rows[0])
    if activation:
        notes += ("Its logits are explained, before its last activation.",)
    kind, kind_notes = _infer_kind(task, answers, activation)
    count = 2 if answers.count == 1 and kind != "numbers" else answers.count
    pixels = answers.maps and task == "regress"
    notes += kind_notes
    return ProbeResult(task, count, kind, preprocessing, why, notes, step, pixels, activation, trial.differentiates)


def _ask(trial: Trial, pictures: Sequence[Tensor]) -> _Answers:
    """Return answers to pictures, also of stronger contrast where in doubt."""
    passes = [*map(trial.run, pictures)]
    rows = [each.answer for each in passes if each.answer is not None]
    first = next(each for each in passes if each.answer is not None)
    known = library_of(trial.module) in LIBRARIES
    # What a library averages of a linear layer's answers has no bounds either.
    end = [*trial.module.modules()][-1] if first.last is None and known else first.last
    bare = isinstance(end, (nn.Linear, nn.Conv2d)) and not is_changed(end)
    if not bare and kind_of(rows) not in ("logits", "logit"):
        # Stronger contrasts take logits out of 0..1.
        strong = [trial.run(factor * picture).answer for factor, picture in product(CONTRASTS, pictures)]
        rows += [answer for answer in strong if answer is not None]
    return _Answers(rows, first.maps, first.last, bare, known)


def _activations_of(task: Task, count: int) -> tuple[type[nn.Module], ...]:
    """Return the kinds of a last layer that make probabilities of a task's logits."""
    if task not in ("classify", "multilabel"):
        return ()
    if task == "multilabel" or count == 1:
        return (nn.Sigmoid,)
    return (nn.Softmax, nn.LogSoftmax)


def _infer_kind(task: Task, answers: _Answers, activation: str) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of answers, and a note; `activation`: what was removed."""
    if task in ("regress", "embed"):
        return "numbers", ()
    bare = bool(activation) or answers.bare
    kind = kind_of(answers.rows, bare)
    if kind == "probabilities" and task == "multilabel":
        kind = "sigmoids"
    if kind in ("logits", "logit") and not (bare or answers.known):
        return kind, ("Its answers were taken for logits: on photographs they are no probabilities.",)
    if kind in ("probabilities", "probability", "sigmoids"):
        return kind, ("It returns probabilities: their logarithms are taken for its logits.",)
    return kind, ()


def _fit_step(trial: Trial, preprocessing: Preprocessing) -> tuple[Preprocessing, int]:
    """Return a segmentation network's preprocessing, squashed if it takes one size only, and its step."""
    height, width = preprocessing.size
    # Those of torchvision take any size.
    step = 1 if library_of(trial.module) == "torchvision" else math.gcd(height, width, STEP)
    if trial.run(photographs(replace(preprocessing, size=(height, width + step)))[0]).answer is None:
        preprocessing = replace(preprocessing, crop="squash")
    return preprocessing, step


def _remove_activation(trial: Trial, last: nn.Module, picture: Tensor, answer: Tensor) -> str:
    """Remove a module's last activation and return its path; empty where the answer does not come from it alone."""
    path: str = next(path for path, part in trial.module.named_modules() if part is last)
    trial.module.set_submodule(path, nn.Identity())
    logits = trial.run(picture).answer
    if logits is not None and same_answer(last(logits), answer):
        return path
    trial.module.set_submodule(path, last)
    return ""


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


MAX_NAMED = 5
"""Classes that are named as left out."""
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
    differentiates = False
    """Whether the module's forward takes gradients itself, for which it needs them in each pass."""

    def patch_module(self) -> None:
        """Leave the last activation out."""
        if self.activation:
            self.module.set_submodule(self.activation, nn.Identity())

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the last layer before pooling; of a transformer the last tokens that attention reads."""
        kinds = {layer.path: type(self.module.get_submodule(layer.path)).__name__ for layer in layers}
        candidates = [layer for layer in layers if not any(word in kinds[layer.path] for word in PASSING)]
        return super().default_layers(candidates or layers)

    def _answer(self, tensor: Tensor) -> Tensor:
        needed = torch.is_grad_enabled()
        with torch.set_grad_enabled(needed or self.differentiates):
            # Some modules normalise their input in place.
            output = self.module(tensor.clone())
        answer = self._read(output, len(tensor))
        assert answer is not None
        return logits_of(answer if needed else answer.detach(), self.kind)

    def _read(self, output: Any, pictures: int) -> Tensor | None:
        """Return the answer for so many pictures in what the module returned."""
        chosen = self.spec.weights.output
        if self.has_row:
            return answer_in(output, chosen, pictures)
        return map_in(output, chosen, pictures, numbers=self.measures_pixels)


class CustomClassifier(CustomInput, Classifier):
    """A module whose answer names classes or quantities."""

    def class_logits(self, outputs: Logits) -> Tensor:
        """Return (B, classes) before softmax, without classes that alone are NaN."""
        unknown = self._unknown(outputs)
        return outputs.logits if unknown is None else outputs.logits.masked_fill(unknown, -math.inf)

    def _unknown(self, outputs: Logits) -> Tensor | None:
        """Return which of (B, classes) are NaN beside others that are not; None where none is."""
        unknown = outputs.logits.isnan()
        if self.spec.measures or not bool(unknown.any()):
            return None
        return unknown & ~unknown.all(1, keepdim=True)

    def remarks(self, outputs: Any) -> tuple[str, ...]:
        """Return sentences on classes that are left out, and on a saturated answer."""
        unknown = self._unknown(outputs)
        names = [] if unknown is None else [self.labels[place] for place in unknown[0].nonzero().flatten().tolist()]
        left_out = tuple(f"Its answer for {name} is NaN: this class is left out." for name in names[:MAX_NAMED])
        return (*left_out, *self._remark_saturation(outputs))

    def _remark_saturation(self, outputs: Any) -> tuple[str, ...]:
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
    adapter.differentiates = result.differentiates
    if isinstance(adapter, Segmenter):
        adapter.step = result.step
    return adapter


def note_preprocessing(spec: ModelSpec, preprocessing: Preprocessing, why: str) -> tuple[str, ...]:
    """Return a note on an inferred preprocessing; none where the row states all of it."""
    if spec.preprocessing.complete:
        return ()
    mean, key = ", ".join(f"{number:.3g}" for number in preprocessing.mean), spec.where_stated("preprocessing")
    return (f"{INFERRED} ({why}): {preprocessing}, mean {mean}; {key} states another.",)
