"""Read true masks of segmentations, PNGs of class indices; IoU and pixel accuracy of answers.

A mask must have the size of its picture as it is shown; an unusable one is a ValueError with the reason.
"""

import contextlib
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.intervals import Metrics, average_classes, count_answers, count_pictures, estimate, redraw
from sightglass.evaluation.label_files.class_files import DATA, find_names, is_class_file, read_file
from sightglass.evaluation.label_files.notes import Notes, ReadAs, count_reasons
from sightglass.evaluation.label_files.opening import MAX_BYTES, LabelFile, LabelFiles, find_folder, open_files
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.evaluation.label_files.rows import LabelProblem
from sightglass.explain.picture import bounds
from sightglass.explain.picture.decode import UPRIGHT
from sightglass.explain.picture.image import MAX_PIXELS

IGNORED = (255, 65535)
"""Values of a PNG that mark a pixel as not counted (`VOID`), where they are no class."""
VOID, UNJUDGED = -1, -2
"""The class of a pixel that is not counted, and the answered class of one that no label means."""
SAMPLE = 200
"""Masks by which it is told whether their values are 0 and 255 alone."""
BINARY = "All masks have the values 0 and 255 alone: 255 is the second of two classes, not a pixel left out."
FROM_1 = "Pixels of the value 0 count for no class: {} names the values from 1."
SOME = "Pixels of values that {} does not name count for no class."
MAX_VALUE = 65535
_MASK = re.compile("_mask$", re.IGNORECASE)
"""What may be between a picture's name and its mask's ending."""
EXPECTED = "give a folder of .png masks, or a .zip of it"


def read(path: Path | str, options: LabelOptions | None = None) -> GroundTruth:
    """Read true masks: a folder of PNG class indices named as their pictures, or a `.zip` of it.

    A `classes.txt` or `data.yaml` in the folder names the indices; without one they are those of the model's classes.

    Raises Problem for what is none of these.
    """
    masks: dict[str, bytes] = {}
    problems, total = list[LabelProblem](), 0
    left_out: dict[str, str] = {}
    notes = Notes(options or LabelOptions())
    with open_files(path, "masks", EXPECTED, left_out, (".png", *DATA)) as source:
        for key, file in _choose_files(source.files, left_out).items():
            try:
                masks[key] = file.read()
            except OSError:
                problems.append(LabelProblem(file.name, 0, "it cannot be read"))
            if (total := total + len(masks.get(key, b""))) > MAX_BYTES:
                raise Problem(f"The masks in {source.name} have more than {MAX_BYTES >> 20} MB: split them.")
        if not masks:
            raise Problem(f"There are no masks in {source.name}: {EXPECTED}.")
        names = _read_names(source, notes)
    # Named, it is a class like any other.
    binary = names.keys().isdisjoint(IGNORED) and _are_binary([*masks.values()])
    labels = _place_names(names, notes, binary=binary)
    summary = ReadAs(
        "masks",
        pictures=len(masks),
        classes=len(names),
        names_file=notes.names_file,
        choices=notes.list_choices(),
        unusable=count_reasons(problems),
        left_out=left_out,
        options=notes.options,
        binary=binary,
    )
    return GroundTruth(
        {},
        tuple(problems),
        masks=masks,
        mask_labels=labels,
        left_out=left_out,
        read_as=summary,
        own_folder=find_folder(path),
    )


def _choose_files(files: Sequence[LabelFile], left_out: dict[str, str]) -> Mapping[str, LabelFile]:
    """Return the masks by what their pictures are called; of several that called a mask, else none of them."""
    offered = defaultdict[str, list[LabelFile]](list)
    # Only a PNG keeps class indices as they are.
    for file in (file for file in files if file.suffix == ".png"):
        offered[_MASK.sub("", _stem(file))].append(file)
    chosen: dict[str, LabelFile] = {}
    for key, several in offered.items():
        called = several if len(several) == 1 else [file for file in several if _stem(file) != key]
        reason = "one of several masks of a picture"
        if len(called) == 1:
            chosen[key] = called[0]
            reason = f"beside {called[0].name}"
        left_out.update({file.shown: reason for file in several if file is not chosen.get(key)})
    return chosen


def _stem(file: LabelFile) -> str:
    return file.path.with_suffix("").as_posix()


def _read_names(source: LabelFiles, notes: Notes) -> Mapping[int, str]:
    """Return the names of values in a file beside the masks, if any.

    Raises Problem for a file without names.
    """
    files = [file for file in source.files if is_class_file(file)]
    values = _read_by_value(files[0]) if len(files) == 1 else {}
    stated = notes.use("names")
    if values and stated in ("", files[0].key, files[0].name):
        notes.names_file = files[0].shown
        return values
    # What is above a folder of masks may name anything else.
    classes = find_names(replace(source, above=()), files, notes)
    if classes is None and files:
        raise Problem(f"{files[0].name} has no readable names of classes: write one on each line.")
    return classes.names if classes else {}


def _read_by_value(file: LabelFile) -> dict[int, str]:
    """Return the names of a file that names values by themselves: `{"0": "ground", "255": "cat"}`."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        table = read_file(file)
        named = table.get("names", table) if isinstance(table, dict) else None
        pairs = [*named.items()] if isinstance(named, dict) else []
        if not all(str(value).isdecimal() for value, _ in pairs):
            pairs = [(value, name) for name, value in pairs]
        if all(str(value).isdecimal() and int(value) <= MAX_VALUE and isinstance(name, str) for value, name in pairs):
            return {int(value): name for value, name in sorted(pairs, key=lambda pair: int(pair[0]))}
    return {}


def _place_names(names: Mapping[int, str], notes: Notes, *, binary: bool) -> tuple[str, ...]:
    """Return the names by value, and say which values have none."""
    if binary:
        notes.said.append(BINARY)
        # The first name is that of 0.
        return tuple(names.values())
    missing = {*range(max(names, default=-1) + 1)} - names.keys()
    if missing:
        notes.said.append((FROM_1 if missing == {0} else SOME).format(notes.names_file))
    return tuple(names.get(value, "") for value in range(max(names, default=-1) + 1))


def _are_binary(masks: Sequence[bytes]) -> bool:
    """Return whether an even sample of these masks has the values 0 and 255 (or 65535) alone."""
    values = set[int]()
    for data in masks[:: max(1, len(masks) // SAMPLE)]:
        # What cannot be read is said where it is counted.
        with contextlib.suppress(ValueError):
            values |= {int(value) for value in np.unique(_read_values(data))}
        if values - {0, *IGNORED}:
            return False
    return bool(values & {*IGNORED})


def _read_values(data: bytes, size: tuple[int, int] | None = None) -> NDArray[np.int64]:
    """Return the values of a PNG, (H, W); `size`: what (H, W) has to be. Raises ValueError."""
    try:
        with bounds.open_file("PNG", data, "the mask") as png:
            # Check before decoding: a small file may declare a huge size.
            if size is None and png.height * png.width > MAX_PIXELS:
                raise ValueError("the mask has too many pixels")
            if size is not None and (png.height, png.width) != size:
                picture = f"{size[1]} by {size[0]}"
                raise ValueError(f"the mask is {png.width} by {png.height} pixels, and the picture {picture}")
            if png.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise ValueError("the mask is a picture in colours: save one class index for each pixel")
            return np.asarray(png).astype(np.int64)
    except (OSError, SyntaxError, Pillow.DecompressionBombError) as problem:
        raise ValueError("the mask is no readable PNG") from problem


def read_size(data: bytes) -> tuple[int, int] | None:
    """Return the width and height of a mask; None for no PNG."""
    try:
        with bounds.open_file("PNG", data, "the mask") as png:
            return int(png.width), int(png.height)
    except (OSError, SyntaxError, Pillow.DecompressionBombError, Problem):
        return None


def turn(data: bytes, orientation: int) -> bytes:
    """Return a mask turned as an EXIF orientation says, and one that cannot be used as it is."""
    try:
        values = _read_values(data)
    except ValueError:
        # That is said where it is compared.
        return data
    turned = np.asarray(Pillow.fromarray(values.astype(np.int32)).transpose(UPRIGHT[orientation]))
    file = io.BytesIO()
    Pillow.fromarray(turned.astype(np.uint8 if values.max() < 256 else np.uint16)).save(file, "PNG")
    return file.getvalue()


def decode(
    data: bytes,
    size: tuple[int, int],
    labels: Sequence[str],
    indices: Mapping[str, int],
    count: int,
    *,
    binary: bool = False,
) -> NDArray[np.int64]:
    """Return each pixel's class, int64 (H, W), or `VOID`.

    `size`: (H, W) of the picture. `labels`: of the PNG's values, empty for one that is not counted; none: they are
    indices of the model's `count` classes.
    `indices`: the model's class of each label. `binary`: all masks have 0 and 255 alone, which are then the two
    classes. Raises ValueError.
    """
    classes = [indices.get(label, VOID) for label in labels] if labels else [*range(count)]
    values = _read_values(data, size)
    if binary:
        values = _to_indices(values, len(classes))
        classes = _name_both(classes, count)
    mask = np.full(size, VOID)
    counted = values < len(classes)
    if (wrong := values[~counted & ~np.isin(values, IGNORED)]).size:
        raise ValueError(f"the mask has the class index {wrong[0]}, and the classes go from 0 to {len(classes) - 1}")
    mask[counted] = np.asarray(classes)[values[counted]]
    return mask


def _to_indices(values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return a mask of 0 and 255 as one of 0 and 1.

    Raises ValueError where 255 is no class.
    """
    if count > 2:
        raise ValueError(
            f"the masks have 0 and 255 alone, and there are {count} classes: name the classes of 0 and 255"
        )
    marked = np.isin(values, IGNORED)
    if (other := values[~marked & (values != 0)]).size:
        raise ValueError(f"the mask has the value {other[0]}, and the others have 0 and 255 alone")
    return marked.astype(np.int64)


def _name_both(classes: list[int], count: int) -> list[int]:
    """Return the classes of 0 and 255 of a model of `count` classes.

    Raises ValueError where one is open.
    """
    if len(classes) == 2:
        return classes
    # The only label is that of 255: a model of two classes has one other.
    if count != 2 or classes == [VOID]:
        raise ValueError("the masks have 0 and 255 alone, and one class is named: name those two in classes.txt")
    return [1 - classes[0], classes[0]]


Pair = tuple[int, int, int]
"""A true class, the predicted class, and the number of pixels with both."""


def count_pairs(truth: NDArray[np.int64], answer: NDArray[np.int64]) -> list[Pair]:
    """Count the pixels of each pair of classes, without `VOID`."""
    counted = (truth >= 0) & (answer != VOID)
    if not counted.any():
        return []
    base = int(answer.max()) + 1 - UNJUDGED
    counts = np.bincount(truth[counted] * base + answer[counted] - UNJUDGED)
    return [(int(code // base), int(code % base) + UNJUDGED, int(counts[code])) for code in np.flatnonzero(counts)]


def measure(pictures: Sequence[Sequence[Pair]]) -> Metrics:
    """Return IoU and accuracy with bootstrap intervals over pictures.

    Its classes are those that any mask or any judged answer has, by their indices.
    """
    # Pictures without counted pixels would only widen the intervals.
    pictures = [pairs for pairs in pictures if pairs]
    rows = [(row, *pair) for row, pairs in enumerate(pictures) for pair in pairs]
    row, truth, answer, count = np.array(rows, np.int64).reshape(-1, 4).T
    judged, hit = answer >= 0, truth == answer
    classes = np.unique(np.concatenate([truth, answer[judged]]))

    def count_pixels(of: NDArray[np.int64], where: NDArray[np.bool_] | slice) -> NDArray[np.float64]:
        """Return how many pixels each picture has of each class, (pictures, classes)."""
        counts = np.zeros((len(pictures), len(classes)))
        np.add.at(counts, (row[where], np.searchsorted(classes, of[where])), count[where])
        return counts

    right = count_pixels(truth, hit)
    union = count_pixels(truth, slice(None)) + count_pixels(answer, judged) - right
    total = np.bincount(row, count, len(pictures))
    draws = redraw(len(pictures))
    with np.errstate(invalid="ignore"):
        exact = right.sum(0) / union.sum(0)
        samples = (draws @ right) / (draws @ union)
        accuracy_samples = (draws @ right.sum(1)) / (draws @ total)
        accuracy = right.sum() / total.sum()
    mean_samples = average_classes(samples.T)
    value = exact.mean() if len(classes) else float("nan")
    of_class = count_pictures(union)
    most = float(count_pictures(total))
    mean = estimate(value, mean_samples, len(pictures), most=count_answers(of_class, most))
    counts = (union > 0).sum(0)
    return Metrics(
        {"mean_iou": mean, "pixel_accuracy": estimate(accuracy, accuracy_samples, len(pictures), most=most)},
        mean_samples,
        {
            str(index): estimate(exact[i], samples[:, i], int(counts[i]), most=of_class[i])
            for i, index in enumerate(classes)
        },
    )
