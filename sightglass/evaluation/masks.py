"""Read true masks of segmentations: PNG class indices, COCO polygons, RLE; IoU and pixel accuracy of answers.

A mask is decoded only beside its picture, whose size it must have: what cannot be used is a ValueError with the reason.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngImageFile

from sightglass.common.errors import Problem
from sightglass.evaluation.ground_truth import (
    DATA,
    MAX_BYTES,
    PACKED,
    GroundTruth,
    LabelProblem,
    check_file,
    read_coco_tables,
    unpack,
)
from sightglass.evaluation.intervals import Estimate, Metrics, average_classes, estimate, redraw
from sightglass.models import labels as class_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOSSY = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Ends of the names of pictures that are no masks."""

IGNORED = (255, 65535)
"""Values of a PNG that mark a pixel as not counted (`VOID`), where they are no class."""


VOID = -1
"""The class of a pixel that is not counted."""
FAR, LONG = 10, 20_000_000
"""How far a polygon may leave its picture, in sides of it, and how long its edges may be: COCO's own decoder trusts
both."""
WANTED = "give a folder of .png masks, a COCO .json with polygons or RLE, or a .zip of one of these"


def read(path: Path | str) -> GroundTruth:
    """Read true masks: a folder of PNG class indices named as their pictures, a COCO `.json`, or a `.zip` of either.

    A `classes.txt` or `data.yaml` in the folder names the indices; without one they are those of the model's classes.

    Raises Problem for what is none of these.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _read_folder(path, [entry for entry in path.rglob("*") if entry.is_file()])
    check_file(path, "masks", WANTED)
    if path.suffix.lower() == ".zip":
        with unpack(path, "masks", (".png", *PACKED)) as (folder, files):
            single = [file for file in files if file.suffix.lower() == ".json"]
            return _read_coco(single[0]) if len(single) == 1 else _read_folder(folder, files)
    if path.suffix.lower() == ".json":
        return _read_coco(path)
    raise Problem(f"{path.name} has no masks: {WANTED}.")


def _read_folder(folder: Path, files: Sequence[Path]) -> GroundTruth:
    masks: dict[str, bytes] = {}
    problems: list[LabelProblem] = []
    total = 0
    # Those that can be used first: a picture beside its mask is no problem.
    for file in sorted(files, key=lambda file: (file.suffix.lower() != ".png", file)):
        key, kind = file.with_suffix("").relative_to(folder).as_posix().removesuffix("_mask"), file.suffix.lower()
        if kind == ".png":
            try:
                masks[key] = file.read_bytes()
            except OSError:
                problems.append(LabelProblem(file.name, 0, "it cannot be read"))
            if (total := total + len(masks.get(key, b""))) > MAX_BYTES:
                raise Problem(f"The masks in {folder.name} have more than {MAX_BYTES >> 20} MB: split them.")
        elif kind in LOSSY and key not in masks:
            problems.append(LabelProblem(file.name, 0, "only a PNG keeps class indices as they are"))
    if not masks:
        raise Problem(f"There are no masks in {folder.name}: {WANTED}.")
    return GroundTruth({}, tuple(problems), masks=masks, mask_labels=_read_names(files))


def _read_names(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the index names of a file beside the masks, if any."""
    for file in sorted(file for file in files if file.name in DATA):
        try:
            if names := class_names.order(class_names.read_file(file)):
                return tuple(names)
        except (OSError, ValueError, RecursionError) as problem:
            raise Problem(f"{file.name} has no readable names of classes: write one on each line.") from problem
    return ()


def _read_coco(path: Path) -> GroundTruth:
    names, classes, rows = read_coco_tables(path)
    shapes: defaultdict[str, list[tuple[str, Any]]] = defaultdict(list)
    problems: list[LabelProblem] = []
    used: set[str] = set()
    for place, row in enumerate(rows, 1):
        try:
            name, label, shape = names[row["image_id"]], classes[row["category_id"]], row["segmentation"]
        except (KeyError, TypeError):
            problems.append(LabelProblem(path.name, place, "it needs a picture, a category and a segmentation"))
            continue
        if not isinstance(shape, list | dict) or not shape:
            problems.append(LabelProblem(path.name, place, "it has neither polygons nor RLE"))
            continue
        shapes[name].append((label, shape))
        used.add(label)
    if not shapes:
        raise Problem(f"There are no masks in {path.name}: its annotations need polygons or RLE.")
    masks = {name: json.dumps(shapes[name], separators=(",", ":")).encode() for name in names.values()}
    return GroundTruth({}, tuple(problems), masks=masks, mask_labels=tuple(sorted(used)))


def decode(
    data: bytes, size: tuple[int, int], labels: Sequence[str], indices: Mapping[str, int], count: int, otherwise: int
) -> NDArray[np.int64]:
    """Return each pixel's class, int64 (H, W), or `VOID`.

    `size`: (H, W) of the picture. `labels`: of a PNG's values; none: they are indices of the model's `count` classes.
    `indices`: the model's class of each label. `otherwise`: the class where no COCO shape is. Raises ValueError.
    """
    if data.startswith(b"\x89PNG"):
        return _decode_png(data, size, [indices.get(label, VOID) for label in labels] if labels else range(count))
    return _draw_shapes(json.loads(data), size, indices, otherwise)


def _decode_png(data: bytes, size: tuple[int, int], indices: Sequence[int]) -> NDArray[np.int64]:
    try:
        # Not PIL.Image.open: Ultralytics replaces it by one that wants a package for what is no picture.
        with PngImageFile(io.BytesIO(data)) as opened:
            # Before it is unpacked: a small file may claim to be very large.
            _check_size((opened.height, opened.width), size)
            if opened.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise ValueError("the mask is a picture in colours: save one class index for each pixel")
            values = np.asarray(opened).astype(np.int64)
    except (OSError, SyntaxError, Pillow.DecompressionBombError) as problem:
        raise ValueError("the mask is no readable PNG") from problem
    mask = np.full(size, VOID)
    known = values < len(indices)
    if (wrong := values[~known & ~np.isin(values, IGNORED)]).size:
        raise ValueError(f"the mask has the class index {wrong[0]}, and the classes go from 0 to {len(indices) - 1}")
    mask[known] = np.asarray(indices)[values[known]]
    return mask


def _check_size(found: tuple[int, int], size: tuple[int, int]) -> None:
    if found != size:
        raise ValueError(f"the mask is {found[1]} by {found[0]} pixels, and the picture {size[1]} by {size[0]}")


def _draw_shapes(
    shapes: Sequence[tuple[str, Any]], size: tuple[int, int], indices: Mapping[str, int], otherwise: int
) -> NDArray[np.int64]:
    mask = np.full(size, otherwise)
    drawn = np.zeros(size, bool)
    for label, shape in shapes:
        inside, index = _draw_shape(shape, size), indices.get(label, VOID)
        # Where objects of two classes overlap nothing says which is in front.
        clash = inside & drawn & (mask != index)
        mask[inside] = index
        mask[clash] = VOID
        drawn |= inside
    return mask


def _draw_shape(shape: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        return _draw_rle(shape, size) if isinstance(shape, dict) else _draw_polygons(shape, size)
    except (KeyError, TypeError, IndexError, OverflowError) as problem:
        raise ValueError("a shape is not as COCO has it") from problem


def _draw_rle(shape: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = (int(side) for side in shape["size"])
    _check_size((height, width), size)
    encoded = shape["counts"]
    counts = np.asarray(_unpack_counts(encoded, height * width) if isinstance(encoded, str) else encoded, np.int64)
    if counts.ndim != 1 or (counts < 0).any() or (counts > height * width).any() or counts.sum() != height * width:
        raise ValueError("the counts of a shape are not those of its size")
    # COCO counts down the columns, and begins outside.
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def _unpack_counts(text: str, most: int) -> list[int]:
    """Decode the counts of a compressed RLE, five bits a letter."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 50 or len(counts) > most:
            raise ValueError("the counts of a shape are not those of its size")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _draw_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    from pycocotools import mask as coco  # type: ignore[import-untyped]

    height, width = size
    checked = []
    for polygon in polygons:
        points = np.asarray(polygon, np.float64)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
            raise ValueError("a polygon has three points or more, two numbers each")
        if np.abs(points).max() > FAR * max(size) or np.abs(np.diff(points.reshape(-1, 2), axis=0)).sum() > LONG:
            raise ValueError("a polygon leaves its picture")
        checked.append(points.tolist())
    merged = coco.merge(coco.frPyObjects(checked, height, width))
    return _draw_rle({"size": merged["size"], "counts": merged["counts"].decode()}, size)


Pair = tuple[int, int, int]
"""A true class, the class that the model gives, and how many pixels have both."""
PAIR = ("truth", "answer", "count")
"""Names of the three."""
ABOUT = b"sightglass_masks"
"""Key of what holds for all pictures in the metadata of a file of pairs."""


def count_pairs(truth: NDArray[np.int64], answer: NDArray[np.int64]) -> list[Pair]:
    """Count the pixels of each pair of classes, negative ones excluded."""
    counted = (truth >= 0) & (answer >= 0)
    if not counted.any():
        return []
    wide = int(max(truth.max(), answer.max())) + 1
    counts = np.bincount(truth[counted] * wide + answer[counted])
    return [(int(at // wide), int(at % wide), int(counts[at])) for at in np.flatnonzero(counts)]


def score_picture(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Return one picture's mean IoU and pixel accuracy.

    >>> score_picture([(0, 0, 6), (0, 1, 2), (1, 1, 4)])
    (0.708..., 0.833...)
    """
    total = sum(count for *_, count in pairs)
    if not total:
        return float("nan"), float("nan")
    right, union = _count_classes([pairs], sorted({class_ for pair in pairs for class_ in pair[:2]}))
    return float((right / union).mean()), float(right.sum() / total)


def measure(pictures: Sequence[Sequence[Pair]], *, seed: int = 0) -> Metrics:
    """Return IoU and accuracy with bootstrap intervals over pictures.

    Its classes are those that any mask or any answer has, by their indices.
    """
    # A picture without a counted pixel says nothing, and drawn again it would widen the intervals.
    pictures = [pairs for pairs in pictures if pairs]
    classes = sorted({class_ for pairs in pictures for pair in pairs for class_ in pair[:2]})
    right, union = _count_classes(pictures, classes)
    total = np.array([sum(count for *_, count in pairs) for pairs in pictures], np.float64)
    draws = redraw(len(pictures), seed)
    with np.errstate(invalid="ignore"):
        exact = right.sum(0) / union.sum(0)
        drawn = (draws @ right) / (draws @ union)
        drawn_accuracy = (draws @ right.sum(1)) / (draws @ total)
        accuracy = right.sum() / total.sum()

    def tell(value: float, drawn: NDArray[np.float64], pictures: int) -> Estimate:
        # One picture drawn again and again is always the same: how sure it is cannot be told.
        return estimate(value, drawn if pictures > 1 else drawn[:0], least=0.0)

    having, drawn_mean = (union > 0).sum(0), average_classes(drawn.T)
    mean = tell(exact.mean() if classes else float("nan"), drawn_mean, len(pictures))
    return Metrics(
        {"mean_iou": mean, "pixel_accuracy": tell(float(accuracy), drawn_accuracy, len(pictures))},
        drawn_mean,
        {str(index): tell(exact[i], drawn[:, i], having[i]) for i, index in enumerate(classes)},
    )


def _count_classes(
    pictures: Sequence[Sequence[Pair]], classes: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each picture's right pixels and union by class."""
    places = {index: i for i, index in enumerate(classes)}
    right, union = np.zeros((2, len(pictures), len(classes)))
    for row, pairs in enumerate(pictures):
        for truth, answer, count in pairs:
            union[row, places[truth]] += count
            if truth == answer:
                right[row, places[truth]] += count
            else:
                union[row, places[answer]] += count
    return right, union
