"""Pictures that are more, or other, than RGB bytes: .npy arrays and TIFFs with up to 16 channels of any numbers.

As hostile as any other file: nothing is unpickled, and shape and size are checked before a number is unpacked.
"""

from __future__ import annotations

import logging
import math
import re
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ImageProblem, TooLarge
from explain.picture.decode import check_size, from_array, grey
from models.preprocess import MAX_CHANNELS

if TYPE_CHECKING:
    from explain.picture.decode import Pixels

Planes = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
NPY = b"\x93NUMPY"
KINDS = (NPY, b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""How such files begin: .npy, and TIFF in its four ways."""
ALPHA = (1, 2)
"""Extra samples of a TIFF that say how much shows through."""


def many(array: NDArray[Any]) -> bool:
    """Whether an array is no ordinary picture: two channels, or five to 16, after the rows and columns."""
    few = array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[2] <= MAX_CHANNELS
    # With fewer rows than channels its sides are in another order than they should be.
    return few and array.shape[0] > array.shape[2]


def from_file(data: bytes, name: str, max_pixels: int) -> NDArray[Any] | None:
    """The array (H, W, C) in a .npy or a TIFF; None for a TIFF that is an ordinary picture."""
    if data.startswith(NPY):
        return _arranged(_npy(data, name, max_pixels), name)
    try:
        return _tiff(data, name, max_pixels)
    except (ImageProblem, MemoryError):
        raise
    except Exception:
        # The other reader says what is wrong with it, or knows it better.
        return None


def shown(array: NDArray[Any], name: str, max_pixels: int) -> tuple[Pixels, Planes | None, tuple[str, ...]]:
    """What of an array (H, W, C) is shown, uint8 RGB; the numbers for a model, where bytes are not all; and notes."""
    check_size(array.shape[1], array.shape[0], name, max_pixels)
    channels = array.shape[2]
    if array.dtype == np.bool_ or (array.dtype == np.uint8 and channels in (1, 3)):
        pixels, notes = from_array(array, name, max_pixels)
        return pixels, None, notes
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageProblem(f"{name} holds values that are not finite (NaN or infinity); replace them first.")
    kept = array.dtype.name in ("uint8", "uint16")
    planes = np.ascontiguousarray(array if kept else array.astype(np.float32))
    planes.flags.writeable = False
    if channels == 1:
        one, note = (planes[:, :, 0], "") if array.dtype == np.uint8 else grey(array[:, :, 0])
        return np.repeat(one[:, :, None], 3, axis=2), planes, (note,) if note else ()
    seen = planes[:, :, :3] if channels > 2 else planes[:, :, :1]
    said = (
        f"{channels} channels of {array.dtype}, of which the {'first three are' if channels > 2 else 'first is'} shown"
    )
    if array.dtype != np.uint8:
        low, high = (float(part) for part in np.percentile(seen, (1, 99)))
        if array.dtype.kind == "f" and seen.min() >= 0 and seen.max() <= 1:
            low, high = 0.0, 1.0
        seen = np.rint((seen.astype(np.float32) - low) * (255 / ((high - low) or 1))).clip(0, 255).astype(np.uint8)
        said += f", {low:g} as black and {high:g} as white"
    pixels = np.array(np.broadcast_to(seen, (*seen.shape[:2], 3)) if channels == 2 else seen, order="C")
    return pixels, planes, (said,)


def _npy(data: bytes, name: str, max_pixels: int) -> NDArray[Any]:
    stream = BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_columns, dtype = read(stream)
    except Exception as reason:
        # A made-up header fails in its own way each time.
        raise ImageProblem(f"{name} is no .npy file that can be read; save the array anew with numpy.save.") from reason
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ImageProblem(f"{name} holds {dtype}, not numbers; save an array of uint8, uint16 or float32.")
    count = math.prod(shape)
    if not 0 < count <= 3 * max_pixels or not all(side > 0 for side in shape):
        raise ImageProblem(f"{name} has {count:,} numbers; give at least one and at most {3 * max_pixels:,}.")
    if len(data) - stream.tell() < count * dtype.itemsize:
        raise ImageProblem(f"{name} is cut off: part of the file is missing, so send it again.")
    array = np.frombuffer(data, dtype, count, stream.tell())
    array = array.reshape(shape[::-1]).transpose() if by_columns else array.reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _arranged(array: NDArray[Any], name: str) -> NDArray[Any]:
    """(H, W), (H, W, C), (C, H, W) or a batch of one of these as (H, W, C)."""
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3:
        first, _, last = array.shape
        if last <= MAX_CHANNELS and not first < last:
            return array
        if first <= MAX_CHANNELS:
            return array.transpose(1, 2, 0)
        if last <= MAX_CHANNELS:
            return array
    sides = " x ".join(map(str, array.shape))
    raise ImageProblem(
        f"{name} is an array of {sides}; give (height, width) or (height, width, channels), {MAX_CHANNELS} at most."
    )


def _tiff(data: bytes, name: str, max_pixels: int) -> NDArray[Any] | None:
    from tifffile import TiffFile

    # It tells on stderr what is told in a sentence here.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with TiffFile(BytesIO(data)) as file:
        # Counted no further than it matters: a made-up file may claim millions.
        pages = next((count for count in range(1, MAX_CHANNELS + 1) if not _has(file, count)), MAX_CHANNELS + 1)
        page: Any = file.pages[0]
        if (held := _of_channels(file, page, pages)) is None:
            return None
        # Written by tifffile without a word an (H, W, C) array is H pages, and its axes are called so.
        down, across = ("Q", "Y") if held.axes == "QYX" and held.shape[2] <= MAX_CHANNELS else ("Y", "X")
        height, width = (held.shape[held.axes.index(side)] for side in (down, across))
        check_size(width, height, name, max_pixels)
        if math.prod(held.shape) > 3 * max_pixels:
            raise TooLarge(f"{name} has {math.prod(held.shape):,} numbers; give at most {3 * max_pixels:,}.")
        if (channels := math.prod(held.shape) // (height * width)) > MAX_CHANNELS:
            raise ImageProblem(f"{name} has {channels} channels; give at most {MAX_CHANNELS}.")
        try:
            array: NDArray[Any] = held.asarray()
        except Exception as reason:
            if channels == 1:
                return None
            raise ImageProblem(
                f"{name} is damaged, cut off or packed in a way that is not read here; save it as .npy."
            ) from reason
    return array[:, :, None] if array.ndim == 2 else array if held.axes.startswith(down) else array.transpose(1, 2, 0)


def _of_channels(file: Any, page: Any, pages: int) -> Any:
    """The page or the series of pages that is a picture of channels; None for one that every reader knows."""
    if int(page.photometric) not in (1, 2, 3) or page.dtype is None:
        return None
    if pages == 1:
        samples, see_through = page.samplesperpixel, any(int(extra) in ALPHA for extra in page.extrasamples)
        if samples == 1:
            grey_numbers = page.dtype.kind in "fu" and page.dtype.itemsize > 1 and int(page.photometric) == 1
            return page if grey_numbers else None
        return None if samples == 3 or (samples in (2, 4) and see_through) else page
    if page.samplesperpixel != 1:
        return None
    rows = re.fullmatch(r'\{"shape": \[\d+, \d+, (\d+)\].*\}', page.description or "", re.DOTALL)
    by_pixel = rows is not None and int(rows[1]) <= MAX_CHANNELS
    if pages > MAX_CHANNELS and not by_pixel:
        return None
    series = file.series[0]
    return series if series.axes in ("QYX", "CYX", "SYX") and (by_pixel or len(series.pages) == pages) else None


def _has(file: Any, page: int) -> bool:
    try:
        file.pages[page]
    except IndexError:
        return False
    return True
