"""Functions that prepare pictures: measure where their output lies, and describe them.

A caller's own function, transforms of torchvision, and image processors of Transformers. Marks that are planted in a
picture show where its parts end up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from sightglass.common.errors import ModelProblem, describe_error
from sightglass.models.adapter import Adapter
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import MAX_CHANNELS, READY, Preprocessing, prepare, white_of
from sightglass.models.spec import PreprocessingTable

PLACES = tuple(((4 * (i // 4) + (1, 3, 0, 2)[i % 4] + 0.5) / 16, (4 * (i % 4) + i // 4 + 0.5) / 16) for i in range(16))
"""Centres of the marks, y and x in shares: no two in one row or column, none where 4 x 4 tiles in turn put it."""
SIDE = 0.08
"""Side of a mark, of the picture's short side."""
FEWEST = 4
"""Marks that have to be seen, so that a straight line through them says something."""
CALLS = 16
"""Calls with one picture that have to agree: a random step of every other call goes unseen once in 30 000 times."""
BANDS, ZOOMS = 16, 2
"""Bands of a picture by which the part that is seen is found where few marks are, and how often."""
TOLERANCE = 0.75
"""Pixels of the output by which a mark may lie beside the line: half a pixel is lost where pixels are skipped."""

MARKS = ((-0.25, -0.1), (0.1, 0.25), (0.25, -0.2))
"""Centres of the marks, y and x from the picture's middle, in shares of its short side: a centre crop shows them."""
LEAST_SIDE = 64
"""Pixels of the short side from which on marks are large enough; a smaller picture is measured on a multiple of it."""
TRIAL = (600, 900)
"""Height and width of the picture by which a function is described: shrinking it shows whether there is antialias."""
SQUARES = (160, 64, 28, 32, 96, 128, 224, 256, 299, 384, 512, 640, 1024, 2048)
TRIALS = (*((side, side) for side in SQUARES), TRIAL, TRIAL[::-1], (480, 640), (720, 1280), (1080, 1920))
"""Heights and widths of pictures that a function is tried on, until it takes one: some take only large ones."""
OTHERS = (TRIAL[::-1], (600, 600))
"""Sizes of further trial pictures, on which a description has to prepare what its function does, too."""
ALIKE, EXACT = 0.6 / 255, 0.01 / 255
"""Mean difference, of white to black, up to which a description prepares noise as its function does (Pillow rounds),
and up to which nobody has to be told."""
FILTERS = (
    *product(("bilinear", "bicubic", "nearest"), (True, False)),
    *product(("lanczos", "box", "hamming"), (True,)),
)
BARS = ("grey", "black", "mean")

Window = tuple[tuple[int, int], tuple[int, int]]
"""Part of a picture in pixels, (y0, y1), (x0, x1)."""
INKS = (255, 0)
"""The tones of a mark, whose outputs are compared."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Marks in a picture."""

    numbers: Sequence[int]
    """Which of the places."""
    window: Window
    """The part of the picture in which they lie."""
    inks: tuple[Any, Any] = INKS


class PictureFunction:
    """A caller's function from a picture to the input, and where its output lies.

    It takes a Pillow image or an array, uint8 (H, W, 3) RGB, or as albumentations' do an array by the name `image`, and
    returns an array or a tensor of one picture, alone or in a dict.
    """

    def __init__(self, function: Callable[..., Any], description: Preprocessing | None = None) -> None:
        self.function, self.calls, self._description = function, 0, description
        self.name = getattr(function, "__name__", type(function).__name__)
        self._ways: tuple[Callable[[NDArray[np.uint8]], Any], ...] = (
            lambda pixels: function(Pillow.fromarray(pixels)),
            lambda pixels: function(np.asarray(pixels)),
            # It may be written into.
            lambda pixels: function(image=np.array(pixels)),
        )
        self._known: dict[tuple[int, ...], tuple[Geometry, Planted]] = {}
        self._taken: list[tuple[int, int]] = []

    @property
    def description(self) -> Preprocessing | None:
        """What it does to most pictures, in numbers; None where that is not known."""
        return self._description

    def table(self) -> PreprocessingTable:
        """Return its description, or the size and channels of what it makes of noise; raise ModelProblem."""
        self.check_steady()
        if self.description is not None:
            return replace(self.description.table(), function=self)
        channels, height, width = self.run(_noise(*self.taken_size(TRIALS[0]))).shape[1:]
        mean, std = (0.0,) * channels, (1.0,) * channels
        return PreprocessingTable(size=(height, width), mean=mean, std=std, range=1, crop="squash", function=self)

    def check_steady(self) -> None:
        """Raise ModelProblem where it changes a trial picture from call to call."""
        self._repeat(_noise(*self.taken_size(TRIALS[0])), CALLS)

    def _repeat(self, pixels: NDArray[Any], calls: int) -> Tensor:
        """Return its output of several calls; raise ModelProblem where these differ."""
        output = self.run(pixels)
        if not all(torch.equal(output, self.run(pixels)) for _ in range(calls - 1)):
            raise ModelProblem(f"The preprocess {self.name} changes from call to call: leave random steps out.")
        return output

    def taken_size(self, wanted: tuple[int, int]) -> tuple[int, int]:
        """Return the wanted (H, W) if it takes a picture of it, else another that it takes; raise ModelProblem."""
        problems: list[ModelProblem] = []
        for size in dict.fromkeys((wanted, *self._taken, *TRIALS)):
            if size in self._taken:
                return size
            try:
                self.run(_noise(*size))
            except ModelProblem as problem:
                problems.append(problem)
            else:
                self._taken.append(size)
                return size
        raise self._failed("pictures of 28 x 28 to 2048 x 2048 pixels", problems[0].__cause__)

    @property
    def swaps_colors(self) -> bool:
        """Whether it puts red last: its output is BGR, as pictures are RGB."""
        flat = [np.full((*TRIAL, 3), color, np.uint8) for color in ((0, 0, 0), (255, 0, 0), (0, 0, 255))]
        try:
            black, red, blue = (self.run(pixels)[0].flatten(1).median(1).values for pixels in flat)
        except ModelProblem:
            return False
        if len(black) != 3:
            return False
        return int((red - black).abs().argmax()) == 2 and int((blue - black).abs().argmax()) == 0

    def run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return its output as float32 (1, C, h, w); raise ModelProblem."""
        problems: list[Exception] = []
        for way in self._ways:
            try:
                output = _to_input(way(pixels))
                self._ways = (way,)
                return output
            # The caller's code may raise anything.
            except Exception as error:
                problems.append(error)
        # Albumentations refuses what has no name by a KeyError.
        problem = problems[-1] if isinstance(problems[0], KeyError) else problems[0]
        raise self._failed(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels", problem) from problem

    def _failed(self, where: str, problem: BaseException | None) -> ModelProblem:
        reason = describe_error(problem) if isinstance(problem, Exception) else ""
        return ModelProblem(
            f"The preprocess {self.name} failed on {where} ({reason}): give a function from a Pillow image or an array "
            "(H, W, 3) to an array or tensor (C, h, w)."
        )

    def prepare(self, pixels: NDArray[Any]) -> ModelInput:
        """Return a picture's input and its place; raise ModelProblem where it cannot be told."""
        self.calls += 1
        pixels = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels
        tensor = self.run(pixels)
        key = (*pixels.shape, *tensor.shape)
        # What it cuts out may depend on what is in the picture.
        if key in self._known:
            geometry, planted = self._known[key]
            marks = self._find(pixels, planted)
            if len(marks) == len(planted.numbers) and _residual(geometry, marks) <= TOLERANCE:
                return ModelInput(tensor, geometry)
        self._repeat(pixels, 2)
        self._known[key] = geometry, _ = self._place(pixels, tensor)
        return ModelInput(tensor, geometry)

    def _place(self, pixels: NDArray[Any], tensor: Tensor) -> tuple[Geometry, Planted]:
        """Return where its output lies, and marks that show it; raise ModelProblem."""
        noise = _noise(*pixels.shape)
        low, high = pixels.min(), pixels.max()
        if low < high:
            # Where tones are stretched to the whole range, a mark beyond the picture's would change it everywhere.
            other, inks = pixels, (high, low)
        elif self.run(noise).shape == tensor.shape:
            other, inks = noise, INKS
        else:
            other, inks = pixels, INKS
        with suppress(ModelProblem):
            return self._measure_marks(pixels, tensor, INKS)
        return self._measure_marks(other, tensor, inks)

    def _measure_marks(self, pixels: NDArray[Any], tensor: Tensor, inks: tuple[Any, Any]) -> tuple[Geometry, Planted]:
        planted = Planted(range(len(PLACES)), _whole(pixels), inks)
        marks = self._find(pixels, planted)
        for _ in range(ZOOMS):
            if len(marks) >= FEWEST:
                break
            # Of a large picture a crop may show a small part alone.
            planted = replace(planted, window=self._narrow(pixels, planted))
            marks = self._find(pixels, planted)
        geometry = self._fit(marks, pixels, tensor, FEWEST)
        return geometry, replace(planted, numbers=marks[[0, -1], 0].astype(int).tolist())

    def _narrow(self, pixels: NDArray[Any], planted: Planted) -> Window:
        """Return the part of a window that the output depends on, in whole bands; the window itself where in none."""
        window, inks = planted.window, planted.inks
        found = list(window)
        for axis in (0, 1):
            edges = np.linspace(*window[axis], BANDS + 1).round().astype(int).tolist()
            bands = [span for span in pairwise(edges) if span[0] < span[1]]
            parts = [(span, window[1]) if axis == 0 else (window[0], span) for span in bands]
            inked = [self._ink(pixels, part, inks) for part in parts]
            seen = [span for span, outputs in zip(bands, inked, strict=True) if not torch.equal(*outputs)]
            if seen:
                found[axis] = (seen[0][0], seen[-1][1])
        return found[0], found[1]

    def _ink(self, pixels: NDArray[Any], part: Window, inks: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
        """Return the outputs with a part of the picture in either ink."""
        outputs = []
        for ink in inks:
            marked = pixels.copy()
            marked[slice(*part[0]), slice(*part[1])] = ink
            outputs.append(self.run(marked))
        return outputs[0], outputs[1]

    def _fit(self, marks: NDArray[np.float64], pixels: NDArray[Any], tensor: Tensor, fewest: int) -> Geometry:
        """Return the geometry that marks show; raise ModelProblem where it is none."""
        if len(marks) >= fewest:
            size, original = (tensor.shape[2], tensor.shape[3]), (pixels.shape[0], pixels.shape[1])
            (sy, oy), (sx, ox) = (_line(marks[:, 1 + i], marks[:, 3 + i], size[i] / original[i]) for i in (0, 1))
            geometry = Geometry(original, size, (sy, sx), (oy, ox))
            if _residual(geometry, marks) <= TOLERANCE:
                if min(sy, sx) > 0:
                    return geometry
                raise ModelProblem(f"The preprocess {self.name} mirrors pictures: mirror them in the model's forward.")
        raise ModelProblem(
            f"Where the output of the preprocess {self.name} lies in the picture could not be measured: give the "
            "tensor that it returns instead of the picture."
        )

    def _centre(self, number: int, full: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(np.array(PLACES[number]) * full)

    def _find(self, pixels: NDArray[Any], planted: Planted) -> NDArray[np.float64]:
        """Return the number, the centre (y, x) in the picture and the place in the output of each mark seen there."""
        (y0, y1), (x0, x1) = planted.window
        marks, start, full = [], np.array([y0, x0]), np.array([y1 - y0, x1 - x0])
        side = max(2, round(SIDE * full.min()))
        for number in planted.numbers:
            corner = start + np.rint(self._centre(number, full) - side / 2).clip(0, full - side).astype(int)
            top, left = corner.tolist()
            first, other = self._ink(pixels, ((top, top + side), (left, left + side)), planted.inks)
            if first.shape == other.shape:
                change = (first - other).abs().sum((0, 1)).numpy().astype(np.float64)
                # Steps over the whole picture, such as a division by its maximum, change a little everywhere.
                change[change <= change.max() / 4] = 0
                if change.any() and not change[[0, -1]].any() and not change[:, [0, -1]].any():
                    place = ((np.indices(change.shape) + 0.5) * change).sum((1, 2)) / change.sum()
                    marks.append((number, *(corner + side / 2), *place))
        return np.array(marks)


def _whole(pixels: NDArray[Any]) -> Window:
    return (0, pixels.shape[0]), (0, pixels.shape[1])


def _noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def _residual(geometry: Geometry, marks: NDArray[np.float64]) -> float:
    return float(np.abs(marks[:, 1:3] * geometry.scale + geometry.offset - marks[:, 3:]).max())


def _line(centres: NDArray[np.float64], places: NDArray[np.float64], whole: float) -> tuple[float, float]:
    """Return the scale and offset from centres to places: those of the whole picture where these fit."""
    if np.abs(centres * whole - places).max() <= TOLERANCE / 2:
        return whole, 0.0
    known = np.stack([centres, np.ones_like(centres)], 1)
    scale, offset = np.linalg.lstsq(known, places, rcond=None)[0].tolist()
    return scale, offset


def _to_input(output: Any) -> Tensor:
    """Return an output as float32 (1, C, h, w); raise ValueError for one that is not of one picture."""
    if isinstance(output, Mapping):
        output = output.get("image", next(iter(output.values()), None))
    is_array = not isinstance(output, Tensor)
    tensor = (torch.from_numpy(np.array(output, np.float32)) if is_array else output.detach().cpu()).float()
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    tensor = tensor[None] if tensor.ndim == 2 else tensor
    if tensor.ndim != 3 or not bool(tensor.isfinite().all()) or isinstance(output, Pillow.Image):
        raise ValueError(f"it returns {type(output).__name__} {tuple(tensor.shape)}")
    first, last = (tensor.shape[axis] <= MAX_CHANNELS for axis in (0, 2))
    return (tensor.permute(2, 0, 1) if last and (is_array or not first) else tensor).contiguous()[None]


class SizedFunction(PictureFunction):
    """A function whose geometry depends on a picture's size alone: it is measured once for each size."""

    def _centre(self, number: int, full: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(full / 2 + np.array(MARKS[number]) * full.min())

    def prepare(self, pixels: NDArray[Any]) -> ModelInput:
        """Return a picture's input, as the function makes it, and its place; raise ModelProblem."""
        self.calls += 1
        pixels = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels
        return ModelInput(self.run(pixels), self._measure(*pixels.shape))

    def _measure(self, height: int, width: int, channels: int = 3) -> Geometry:
        key = (height, width, channels)
        if key not in self._known:
            times = -(-LEAST_SIDE // min(height, width))
            blank = np.zeros((height * times, width * times, channels), np.uint8)
            geometry = self._fit(
                self._find(blank, Planted(range(len(MARKS)), _whole(blank))), blank, self.run(blank), len(MARKS)
            )
            scale = (geometry.scale[0] * times, geometry.scale[1] * times)
            self._known[key] = replace(geometry, original=(height, width), scale=scale), Planted((), _whole(blank))
        return self._known[key][0]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the input of a trial picture."""
        return self._measure(*TRIAL).input

    @cached_property
    def description(self) -> Preprocessing | None:
        """The preprocessing that equals the function on a trial picture; None where there is none."""
        geometry, turned = self._measure(*TRIAL), self._measure(*TRIAL[::-1])
        if (base := self._describe_colors(geometry)) is None:
            return None
        same_sides = turned.input == geometry.input
        for described in _candidates(base):
            others = OTHERS if same_sides else ()
            if all(self.differs_by(described, size) <= ALIKE for size in (TRIAL, *others)):
                # Where the sides depend on the picture's, a short side is all that can be said.
                short = min(geometry.input)
                return described if same_sides else replace(described, size=(short, short), crop="centre")
        return None

    def differs_by(self, described: Preprocessing, size: tuple[int, int] = TRIAL) -> float:
        """Return the mean difference of a description from it on noise, of white to black; infinity in other sides."""
        noise = _noise(*size)
        theirs, ours = self.run(noise), prepare(noise, described, "trained").tensor
        if theirs.shape != ours.shape:
            return float("inf")
        return float((ours - theirs).abs().mean()) / float(np.mean([1 / std for std in described.std]))

    def _describe_colors(self, geometry: Geometry) -> Preprocessing | None:
        """Return crop, mean, std and order of colours; None where white is not above black in each channel."""
        flat = [np.full((*TRIAL, 3), color, np.uint8) for color in ((0, 0, 0), (255, 0, 0), (255, 255, 255))]
        low, red, high = (self.run(pixels)[0].flatten(1).median(1).values.double() for pixels in flat)
        if not bool((high > low).all()):
            return None
        order = "bgr" if len(low) == 3 and int((red - low).abs().argmax()) == 2 else "rgb"
        low, high = (numbers.flip(0) if order == "bgr" else numbers for numbers in (low, high))
        measured = (-low / (high - low)).tolist(), (1 / (high - low)).tolist()
        # Floats of 32 bits have seven digits.
        mean, std = (tuple(float(f"{number:.6g}") + 0.0 for number in numbers) for numbers in measured)
        crop, short = _crop_of(geometry)
        return Preprocessing(geometry.input, short, mean, std, crop=crop, channels_order=order)


def _candidates(base: Preprocessing) -> Iterator[Preprocessing]:
    """Return descriptions that differ in the interpolation, and in the tone of bars where there are some."""
    for (name, antialias), bars in product(FILTERS, BARS if base.crop == "letterbox" else (None,)):
        yield replace(base, interpolation=name, antialias=antialias, bars=bars)


def _crop_of(geometry: Geometry) -> tuple[str, int]:
    """Return the crop that a trial picture's geometry shows, and the short side before it in pixels."""
    (height, width), (h, w), (sy, sx) = geometry.original, geometry.input, geometry.scale
    if geometry.offset == (0.0, 0.0):
        return "squash", min(h, w)
    # Of a small input a side that is rounded to pixels is another scale.
    if abs(sy - sx) * height >= max(0.01 * sx * height, 2 * TOLERANCE):
        return "square", round(sy * height)
    return "letterbox" if sy * height < h + 1 and sx * width < w + 1 else "centre", round(sy * height)


class Processor(SizedFunction):
    """An image processor, or the one in a processor of several parts.

    `channels` is the model's number of them, and `options` are further arguments of each call.
    """

    def __init__(self, processor: Any, channels: int = 3, **options: Any) -> None:
        function: Callable[..., Any] = getattr(processor, "image_processor", processor)
        super().__init__(partial(function, return_tensors="pt", **options))
        self.name, self.channels = type(function).__name__, channels

    def run(self, pixels: NDArray[Any]) -> Tensor:
        image: Any = np.array(pixels)
        if pixels.shape[2] in (1, 3):
            # A processor scales by 255, whatever the type.
            tones = pixels if pixels.dtype == np.uint8 else np.rint(pixels * (255 / white_of(pixels))).clip(0, 255)
            pixels = tones.astype(np.uint8)
            image = Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            image = image.convert("L" if self.channels == 1 else "RGB")
        try:
            output: Tensor = self.function(image)["pixel_values"].float()
        # A library's processor may raise anything, of a file's settings or of a picture of many channels.
        except Exception as error:
            raise self._unusable(describe_error(error)) from error
        if output.ndim != 4 or len(output) > 1:
            raise self._unusable(f"it returns {tuple(output.shape)}")
        return output

    def taken_size(self, wanted: tuple[int, int]) -> tuple[int, int]:
        """Return the wanted (H, W): a processor resizes pictures of any."""
        return wanted

    def fits_channels(self) -> bool:
        """Return whether it turns a picture of the model's channels into an input of as many."""
        try:
            return self.run(np.zeros((64, 64, self.channels), np.uint8)).shape[1] == self.channels
        except ModelProblem:
            return False

    def _unusable(self, reason: str) -> ModelProblem:
        return ModelProblem(
            f"The image processor {self.name} does not turn a picture into one input ({reason}): wrap the model in a "
            "module that takes (1, C, h, w), or state size, mean and std of the preprocessing if it does so."
        )


def is_plain(transform: Any) -> bool:
    """Return whether all steps of a transform are torchvision's, which look at a picture's size alone."""
    if (steps := getattr(transform, "transforms", None)) is not None:
        return all(map(is_plain, steps))
    kind = type(transform)
    return kind.__module__.startswith("torchvision.transforms") and kind.__name__ != "Lambda"


def describe(transform: Any, name: str) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return the preprocessing that a transform called `name` does, and a note where it is not exactly that.

    Raises ModelProblem, one sentence, for a transform that no size, crop, mean and std describe.
    """
    function = SizedFunction(transform)
    function.check_steady()
    if (described := function.description) is None:
        raise ModelProblem(
            "The transform does more than resize, crop, add even bars and scale colours: state size, mean, std, "
            "interpolation and crop in weights.preprocessing, or in Python give it as preprocess."
        )
    difference = function.differs_by(described)
    if not EXACT < difference < float("inf"):
        return described, ()
    note = (
        f"Pictures are prepared as {name} was measured to do, which interpolates or rounds otherwise: on noise tones "
        f"differ by {difference * 255:.2g} of 255 on average."
    )
    return described, (note,)


def check_used(adapter: Adapter) -> Adapter:
    """Return an adapter that calls its spec's function, if it has one; raise ModelProblem for others."""
    if (function := adapter.spec.preprocessing.function) is not None:
        before = function.calls
        adapter.flat_input()
        if function.calls == before:
            raise ModelProblem(f"{adapter.spec.id} prepares pictures its own way: leave preprocess out.")
        # A library's processor knows its model.
        if function.swaps_colors and not isinstance(function, Processor):
            adapter.notes += (
                f"{function.name} puts blue first (BGR), and is given pictures in RGB: leave this step out unless the "
                "model takes BGR.",
            )
        if function.description is not None:
            return adapter
        adapter.preprocessings = tuple(way for way in adapter.preprocessings if way in ("trained", "negative", READY))
        adapter.notes += (f"Pictures are prepared by {function.name}; marks planted in them showed where they end up.",)
    return adapter
