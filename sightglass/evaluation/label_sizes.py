"""Place labelled boxes and masks in pictures whose size or turn is not the one that the labels state."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sightglass.common.errors import Problem
from sightglass.evaluation import masks
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.label_files.options import LabelOptions, ask, ask_which, describe_idle
from sightglass.evaluation.label_files.rows import (
    LabelError,
    LabelProblem,
    Size,
    TrueBox,
    have_same_shape,
    scale_box,
)
from sightglass.explain.phrases import plural
from sightglass.explain.picture.decode import Header, read_header
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import Item
from sightglass.models.geometry import Box

OUTSIDE = 1.01
"""How far a box may reach, in parts of the stated size."""
SCALED = "were scaled from the stated size to that of the picture"
RESIZED = {
    "picture": "were read as of the picture itself, whatever size is stated",
    "stretch": "were scaled on each side, as from a picture that was stretched",
    "letterbox": "were scaled as from a picture with borders",
}
"""What is said of pictures of another shape, by the option `sizes`."""
TURNED = "were turned as the EXIF orientation says, as they are of the picture as it is stored"
OPEN = f"were read as of the picture as it is shown, as its size does not tell ({ask('exif', 'stored')} for the other)"
"""What is said of a picture whose EXIF orientation does not show in its size."""
UNSTATED = f"were read as of the picture as it is shown, as they state no size ({ask('exif', 'stored')} for the other)"
"""What is said of a turned picture whose boxes state no size."""
BEYOND = "reach out of the picture, and count as far as they are in it"
NUMPY = b"\x93NUMPY"
"""How a file of numbers begins."""
Move = Callable[[Box], Box]


def place(truth: GroundTruth, items: Sequence[Item]) -> GroundTruth:
    """Return the labels with boxes in pixels of these pictures, and masks as the pictures are shown.

    Where the shapes agree boxes are scaled, and turned where the stated size is that of the stored picture. Where they
    do not the picture's labels are left out, unless an option says how it was resized. `read_as.sizes` says which.
    A box of which nothing is in the picture is left out.
    Raises Problem where all are left out.
    """
    placed = _place_items(truth, items)
    pictures = {
        key: placed.boxes.get(key, boxes) for key, boxes in truth.pictures.items() if key not in placed.problems
    }
    problems = (*placed.problems.values(), *placed.outside)
    if problems and not any(pictures.values()):
        raise Problem(problems[0].words)
    # A run that goes on says no more of what it has placed before.
    sizes = [*truth.read_as.sizes, *placed.list_sentences()]
    if not truth.read_as.placed:
        sizes += placed.list_idle_options()
    return replace(
        truth,
        pictures=pictures,
        masks={**truth.masks, **placed.masks},
        problems=(*truth.problems, *problems),
        read_as=replace(truth.read_as, sizes=tuple(dict.fromkeys(sizes)), placed=(*truth.read_as.placed, *placed.done)),
    )


def _place_items(truth: GroundTruth, items: Sequence[Item]) -> "_Placed":
    """Return the labels of these pictures that were not placed before."""
    placed = _Placed(truth.read_as.options)
    done = {*truth.read_as.placed}
    for item in items:
        key = truth.find_file(item.key)
        labels = truth.pictures.get(key) or truth.masks.get(key)
        header = _read_header(item) if labels and key not in done else None
        if labels and header is not None:
            placed.add(key, labels, header)
    return placed


@dataclass
class _Placed:
    """What was found of pictures, each under its name in the labels."""

    options: LabelOptions
    boxes: dict[str, tuple[TrueBox, ...]] = field(default_factory=dict)
    masks: dict[str, bytes] = field(default_factory=dict)
    """Masks that were turned."""
    done: list[str] = field(default_factory=list)
    """Pictures whose labels are not to be placed again."""
    problems: dict[str, LabelProblem] = field(default_factory=dict)
    outside: list[LabelProblem] = field(default_factory=list)
    """Boxes of which nothing is in the picture."""
    said: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By what was done: the pictures, with both sizes."""

    is_any_turned: bool = False
    """Whether a labelled picture has an EXIF orientation."""

    def add(self, key: str, labels: Sequence[TrueBox] | bytes, header: Header) -> None:
        """Place the boxes or the mask of a picture."""
        self.is_any_turned |= header.orientation != 1
        if isinstance(labels, bytes):
            self._add_mask(key, labels, header)
        else:
            self._add_boxes(key, labels, header)
        if self.options.exif == "stored":
            self.done.append(key)

    def _add_boxes(self, key: str, boxes: Sequence[TrueBox], header: Header) -> None:
        try:
            placed, words = _place_boxes(boxes, header, self.options)
        except LabelError as problem:
            self.problems[key] = LabelProblem(key, 0, str(problem))
            return
        self._say("Boxes", key, words)
        self._check_bounds(key, [box.box for box in placed], header.size)
        is_moved = TURNED in words or any(box.stated for box in boxes)
        # Parts of a picture stay right where another copy of it has another size.
        pairs = zip(placed if is_moved else boxes, placed, strict=True)
        self.boxes[key] = tuple(box for box, in_pixels in pairs if _is_inside(in_pixels.box, header.size))
        if is_moved:
            self.done.append(key)

    def _check_bounds(self, key: str, boxes: Sequence[Box], size: Size) -> None:
        """Note which boxes of a picture are outside of it, and whether one reaches out."""
        outside = [box for box in boxes if not _is_inside(box, size)]
        self.outside += [LabelProblem(key, 0, _describe_outside(box, size)) for box in outside]
        reaching = [box for box in boxes if _is_inside(box, size) and _reaches_out(box, size)]
        if reaching:
            self._say("Boxes", key, {BEYOND: f": {_name_box(reaching[0])} of {_name(size)}"})

    def _add_mask(self, key: str, data: bytes, header: Header) -> None:
        # A mask of another size is of the picture as it is shown, or is refused where it is compared.
        if header.orientation == 1 or masks.read_size(data) != header.stored:
            return
        tells = not _hides_turn(header)
        if self.options.exif == "stored" or (tells and not self.options.exif):
            self.masks[key] = masks.turn(data, header.orientation)
            self._say("Masks", key, {TURNED: _name_turn(header)})
        elif not self.options.exif:
            self._say("Masks", key, {OPEN: ""})

    def _say(self, what: str, key: str, words: Mapping[str, str]) -> None:
        for word, sizes in words.items():
            self.said[f"{what} of {{}} {word}"].append(f"{key}{sizes}")

    def list_idle_options(self) -> list[str]:
        """Return a sentence for each option that changes nothing of these pictures."""
        sizes = self.options.sizes
        is_resized = bool(self.problems) or any(RESIZED.get(sizes, SCALED) in words for words in self.said)
        effects = {ask("sizes", sizes): not sizes or is_resized}
        effects[ask("exif", self.options.exif)] = not self.options.exif or self.is_any_turned
        return [describe_idle(option) for option, has_effect in effects.items() if not has_effect]

    def list_sentences(self) -> list[str]:
        """Return what was done, a sentence each."""
        sentences = [
            f"{words.format(plural(len(pictures), 'picture'))} ({pictures[0]})."
            for words, pictures in self.said.items()
        ]
        first = next(iter(self.problems.values()), None)
        if first is not None:
            sentences.append(f"Labels of {plural(len(self.problems), 'picture')} were left out: {first.words}")
        if self.outside:
            sentences.append(f"Left out: {plural(len(self.outside), 'box')} ({self.outside[0].words.rstrip('.')}).")
        return sentences


def _read_header(item: Item) -> Header | None:
    """Return a picture's size and turn; None where it cannot be read, which is said when it is explained."""
    try:
        source = item.read_start()
        if isinstance(source, bytes) and not source.startswith(NUMPY):
            return read_header(source, item.name)
        image = source if isinstance(source, Image) else Image.open(source, name=item.name)
    except (OSError, Problem):
        return None
    size = image.width, image.height
    return Header(size, size, 1)


def _place_boxes(
    boxes: Sequence[TrueBox], header: Header, options: LabelOptions
) -> tuple[tuple[TrueBox, ...], Mapping[str, str]]:
    """Return boxes in pixels of a picture, and what was done with both sizes.

    Raises LabelError where that is open.
    """
    stated = _find_stated(boxes)
    stored = _is_stored(stated, header, options)
    size = header.stored if stored else header.size
    moved, words = _scale_boxes(boxes, stated, size, options)
    if stored:
        moved = [TURNS[header.orientation](box, size) for box in moved]
        words[TURNED] = _name_turn(header)
    elif header.orientation != 1 and not options.exif:
        words |= _describe_open(stated, header)
    done = (replace(box, box=new, relative=False, stated=None) for box, new in zip(boxes, moved, strict=True))
    return tuple(done), words


def _describe_open(stated: Size | None, header: Header) -> dict[str, str]:
    """Return what is said of a turned picture where nothing tells which way its boxes are."""
    if stated is None:
        return {UNSTATED: ""}
    fits = [have_same_shape(stated, size) for size in (header.size, header.stored)]
    return {OPEN: ""} if _hides_turn(header) or not any(fits) else {}


def _is_inside(box: Box, size: Size) -> bool:
    """Return whether a part of a box is in a picture."""
    x0, y0, x1, y1 = box
    return x0 < size[0] and y0 < size[1] and x1 > 0 and y1 > 0


def _reaches_out(box: Box, size: Size) -> bool:
    """Return whether a box ends farther outside of a picture than by rounding."""
    beyond = [(OUTSIDE - 1) * side + 1 for side in size]
    x0, y0, x1, y1 = box
    return x0 < -beyond[0] or y0 < -beyond[1] or x1 > size[0] + beyond[0] or y1 > size[1] + beyond[1]


def _describe_outside(box: Box, size: Size) -> str:
    return f"its box {_name_box(box)} lies outside of the picture, which has {_name(size)} pixels"


def _scale_boxes(
    boxes: Sequence[TrueBox], stated: Size | None, size: Size, options: LabelOptions
) -> tuple[list[Box], dict[str, str]]:
    """Return boxes in pixels of a size, and what was done.

    Raises LabelError where that is open.
    """
    in_parts = all(box.relative for box in boxes)
    if stated is None or stated == size or (in_parts and have_same_shape(stated, size)):
        # Parts of a picture are the same in any size, but not in another shape.
        return [scale_box(box.box, *size) if box.relative else box.box for box in boxes], {}
    pixels = [scale_box(box.box, *stated) if box.relative else box.box for box in boxes]
    move, words = _find_scale(stated, size, pixels, options)
    if in_parts and options.sizes == "picture":
        pixels = [scale_box(box.box, *size) for box in boxes]
    return [move(box) for box in pixels], {words: f": {_name(stated)} stated, {_name(size)} in the file"}


def _find_stated(boxes: Sequence[TrueBox]) -> Size | None:
    """Return the size that boxes state of their picture; raise LabelError where they differ."""
    sizes = sorted({box.stated for box in boxes if box.stated})
    if len(sizes) > 1:
        raise LabelError(f"its labels state two sizes, {_name(sizes[0])} and {_name(sizes[1])}")
    return sizes[0] if sizes else None


def _hides_turn(header: Header) -> bool:
    """Return whether a picture is turned in a way that its size does not show."""
    return header.orientation != 1 and header.size == header.stored


def _is_stored(stated: Size | None, header: Header, options: LabelOptions) -> bool:
    """Return whether boxes are of the picture before its EXIF turn."""
    if header.orientation == 1:
        return False
    if options.exif or stated is None:
        return options.exif == "stored"
    if stated in (header.size, header.stored):
        return stated != header.size
    return have_same_shape(stated, header.stored) and not have_same_shape(stated, header.size)


def _find_scale(stated: Size, size: Size, boxes: Sequence[Box], options: LabelOptions) -> tuple[Move, str]:
    """Return what takes boxes from the stated size to the picture's, and its words.

    Raises LabelError if it is open.
    """
    across = size[0] / stated[0]
    down = size[1] / stated[1]
    if options.sizes == "picture":
        return lambda box: box, RESIZED["picture"]
    if options.sizes == "letterbox":
        return partial(_take_out_of_borders, stated=stated, size=size), RESIZED["letterbox"]
    reason = f"its labels state {_name(stated)} pixels, and it has {_name(size)}"
    remedy = f"say how it was resized ({ask_which('sizes')})"
    if options.sizes != "stretch" and not have_same_shape(stated, size):
        raise LabelError(f"{reason}: {remedy}")
    right = max(box[2] for box in boxes)
    bottom = max(box[3] for box in boxes)
    if right > OUTSIDE * stated[0] + 1 or bottom > OUTSIDE * stated[1] + 1:
        raise LabelError(f"{reason}, and boxes reach to {right:g}, {bottom:g}: {remedy}")
    return partial(scale_box, wide=across, high=down), RESIZED.get(options.sizes, SCALED)


def _take_out_of_borders(box: Box, stated: Size, size: Size) -> Box:
    """Return a box of a picture that was scaled to fit into the middle of a size."""
    scale = min(stated[0] / size[0], stated[1] / size[1])
    left = (stated[0] - size[0] * scale) / 2
    top = (stated[1] - size[1] * scale) / 2
    x0, y0, x1, y1 = box
    return scale_box((x0 - left, y0 - top, x1 - left, y1 - top), 1 / scale, 1 / scale)


def _name(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _name_box(box: Box) -> str:
    return ", ".join(f"{number:g}" for number in box)


def _name_turn(header: Header) -> str:
    return f": {_name(header.stored)} stored, {_name(header.size)} shown"


def _mirror(box: Box, size: Size) -> Box:
    x0, y0, x1, y1 = box
    return size[0] - x1, y0, size[0] - x0, y1


def _flip(box: Box, size: Size) -> Box:
    x0, y0, x1, y1 = box
    return x0, size[1] - y1, x1, size[1] - y0


def _swap(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return y0, x0, y1, x1


TURNS: Mapping[int, Callable[[Box, Size], Box]] = {
    2: _mirror,
    3: lambda box, size: _flip(_mirror(box, size), size),
    4: _flip,
    5: lambda box, size: _swap(box),
    6: lambda box, size: _swap(_flip(box, size)),
    7: lambda box, size: _swap(_flip(_mirror(box, size), size)),
    8: lambda box, size: _swap(_mirror(box, size)),
}
"""By EXIF orientation: a box of a stored picture of a size, in the picture as it is shown."""
