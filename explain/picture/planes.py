"""Read .npy and TIFF pictures with many channels.

Files are untrusted: nothing is unpickled, and shape and size are checked before any number is unpacked.
"""

from __future__ import annotations

import logging
import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.explain.picture.decode import Pixels, check_size, from_array, grey, strips
from sightglass.models.preprocess import MAX_CHANNELS

Planes = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
NPY = b"\x93NUMPY"
KINDS = (NPY, b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""First bytes of such files: .npy, and the four variants of TIFF."""


def many(array: NDArray[Any]) -> bool:
    """Whether an array is (H, W, C) with 2 or 5 to 16 channels."""
    few = array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[2] <= MAX_CHANNELS
    # With fewer rows than channels its axes are probably in another order.
    return few and array.shape[0] > array.shape[2]


def from_file(data: bytes, name: str, max_pixels: int) -> NDArray[Any] | None:
    """Return the array (H, W, C) of a .npy or TIFF; None for pictures."""
    if data.startswith(NPY):
        return _arrange(_npy(data, name, max_pixels), name)
    try:
        return _tiff(data, name, max_pixels)
    except (ImageProblem, MemoryError):
        raise
    except Exception:
        # The ordinary decoder reads it, or reports the error.
        return None


def convert_array(array: NDArray[Any], name: str, max_pixels: int) -> tuple[Pixels, Planes | None, tuple[str, ...]]:
    """Return an array (H, W, C) as RGB, numbers (or None), and notes."""
    check_size(array.shape[1], array.shape[0], name, max_pixels)
    channels = array.shape[2]
    if array.dtype == np.bool_ or (array.dtype == np.uint8 and channels in (1, 3)):
        pixels, notes = from_array(array, name, max_pixels)
        return pixels, None, notes
    exact = array.dtype.name in ("uint8", "uint16")
    # Numbers beyond 3e38 become infinite here.
    with np.errstate(over="ignore"):
        planes = np.ascontiguousarray(array if exact else array.astype(np.float32))
    if not exact and not np.isfinite(planes).all():
        raise ImageProblem(f"{name} holds values that are not finite (NaN or infinity); replace them first.")
    planes.flags.writeable = False
    if channels == 1:
        plane, note = (planes[:, :, 0], "") if array.dtype == np.uint8 else grey(array[:, :, 0])
        return np.repeat(plane[:, :, None], 3, axis=2), planes, (note,) if note else ()
    seen = planes[:, :, :3] if channels > 2 else planes[:, :, :1]
    note = f"{channels} channels of {array.dtype}; the {'first three are' if channels > 2 else 'first is'} shown"
    pixels = np.empty((*array.shape[:2], 3), np.uint8)
    if array.dtype == np.uint8:
        pixels[:] = seen
        return pixels, planes, (note,)
    # Nearly all fit into float32, with their differences and quotients.
    size = max(abs(float(seen.min())), abs(float(seen.max())))
    kind: Any = np.float32 if 1e-20 < size < 1e30 else np.float64
    if array.dtype.kind == "f" and seen.min() >= 0 and seen.max() <= 1:
        low, high = 0.0, 1.0
    else:
        numbers = seen.astype(kind, order="C")
        low, high = (float(part) for part in np.percentile(numbers, (1, 99), overwrite_input=True))
        del numbers
    for rows in strips(*array.shape[:2]):
        part = (seen[rows].astype(kind) - low) * (255 / ((high - low) or 1))
        pixels[rows] = np.rint(part).clip(0, 255).astype(np.uint8)
    return pixels, planes, (f"{note}, {low:g} as black and {high:g} as white",)


def _most(dtype: Any, max_pixels: int) -> int:
    """Return the maximum count of numbers in a file, at 4 bytes each."""
    kept: int = dtype.itemsize if dtype.name in ("uint8", "uint16", "bool") else max(4, dtype.itemsize)
    return min(3 * max_pixels, 4 * max_pixels // kept)


def _npy(data: bytes, name: str, max_pixels: int) -> NDArray[Any]:
    stream = BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(stream)
    except Exception as reason:
        # A malformed header can raise anything.
        raise ImageProblem(f"{name} is not a readable .npy file; save the array again with numpy.save.") from reason
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ImageProblem(f"{name} holds {dtype}, not numbers; save an array of uint8, uint16 or float32.")
    count = math.prod(shape)
    most = _most(dtype, max_pixels)
    if not 0 < count <= most or not all(side > 0 for side in shape):
        raise ImageProblem(f"{name} has {count:,} numbers; give at least one and at most {most:,} of {dtype}.")
    if len(data) - stream.tell() < count * dtype.itemsize:
        raise ImageProblem(f"{name} is cut off: part of the file is missing, so send it again.")
    array: NDArray[Any] = np.lib.format.read_array(BytesIO(data), allow_pickle=False)
    return array.astype(dtype.newbyteorder("="))


def _arrange(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Rearrange any layout of an array, or batch of one, as (H, W, C)."""
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3:
        first, _, last = array.shape
        if first <= MAX_CHANNELS and (first < last or last > MAX_CHANNELS):
            return array.transpose(1, 2, 0)
        if last <= MAX_CHANNELS:
            return array
    sides = " x ".join(map(str, array.shape))
    raise ImageProblem(
        f"{name} is an array of {sides}; give (height, width) or (height, width, channels), {MAX_CHANNELS} at most."
    )


def _tiff(data: bytes, name: str, max_pixels: int) -> NDArray[Any] | None:
    """Return a TIFF's channels, or its grey numbers of more than a byte; None for an ordinary picture."""
    from tifffile import TiffFile

    # It would log errors reported here as sentences.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with TiffFile(BytesIO(data)) as file:
        page: Any = file.pages[0]
        if int(page.photometric) not in (1, 2, 3) or page.dtype is None:
            return None
        single, samples = not _has(file, 1), page.samplesperpixel
        see_through = any(int(extra) in (1, 2) for extra in page.extrasamples)
        grey_numbers = page.dtype.kind in "fu" and page.dtype.itemsize > 1 and int(page.photometric) == 1
        ordinary = samples == 3 or (samples in (2, 4) and see_through) or (samples == 1 and not grey_numbers)
        if ordinary if single else samples != 1:
            return None
        # A document of many pages is no picture; tifffile writes an (H, W, C) array as H pages, which says its shape.
        if not single and _has(file, MAX_CHANNELS) and not page.is_shaped:
            return None
        source: Any = page if single else file.series[0]
        if not single and (source.axes not in ("QYX", "CYX", "SYX") or min(source.shape[::2]) > MAX_CHANNELS):
            return None
        if (count := math.prod(source.shape)) > (most := _most(source.dtype, max_pixels)):
            raise TooLarge(f"{name} has {count:,} numbers; give at most {most:,} of {source.dtype}.")
        height, width, channels = _arrange(np.broadcast_to(np.zeros((), source.dtype), source.shape), name).shape
        check_size(width, height, name, max_pixels)
        try:
            return _arrange(source.asarray(), name)
        except Exception as reason:
            if channels == 1:
                return None
            raise ImageProblem(
                f"{name} is damaged, cut off or compressed in an unsupported way; save it as .npy."
            ) from reason


def _has(file: Any, page: int) -> bool:
    """Return whether a TIFF has a page: a crafted file may claim millions, which are not counted."""
    try:
        file.pages[page]
    except IndexError:
        return False
    return True
