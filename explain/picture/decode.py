"""Decode bytes, Pillow images and arrays to RGB, and .npy and TIFF files to numbers of many channels.

Files are untrusted: nothing is unpickled, sizes are checked in the header before anything is unpacked, and every
decoder error becomes one sentence.
"""

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, ExifTags, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - add their formats to Pillow's
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.common.settings import settings
from sightglass.explain.picture import bounds
from sightglass.explain.picture.colour import Profile, profile_of, read_profile, to_srgb
from sightglass.models.preprocess import MAX_CHANNELS

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Pillow's readers that a file may reach."""

MAX_SIDE = 65_500
"""Maximum width and height of a picture: those of a JPEG that libjpeg reads and writes."""
STRIP = 4_000_000
"""About how many values are converted at a time, as numbers of eight bytes: 32 MB."""
TURNED = "rotated as its EXIF orientation says"
REDUCED = "16-bit reduced to 8 bits"
BY_NVJPEG = "decoded by nvJPEG, whose colours differ a little from other decoders'"
ON_WHITE = "Transparent areas are shown on white."
# Pillow's exif_transpose also rewrites the EXIF data, and fails where they are damaged.
UPRIGHT = dict(enumerate(map(Pillow.Transpose, (0, 3, 1, 5, 4, 6, 2)), 2))
"""By EXIF orientation: what turns a picture as it is shown."""
_PNG_METADATA = re.compile(rb"eXIf|exif|xmp")

Pixels = NDArray[np.uint8]


def check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    """Raise ImageProblem for a picture without pixels, TooLarge for too many."""
    if width < 1 or height < 1:
        raise ImageProblem(f"{name} has no pixels ({width} x {height}); give a picture of at least 1 x 1.")
    if width * height > max_pixels:
        raise TooLarge(f"{name} has {width:,} x {height:,} = {width * height:,} pixels; give at most {max_pixels:,}.")
    check_sides(name, width, height)


def check_sides(name: str, *sides: int) -> None:
    """Raise TooLarge for a side of more pixels than `MAX_SIDE`."""
    longest = max(sides)
    if longest > MAX_SIDE:
        remedy = f"give at most {MAX_SIDE:,}: cut it or make it smaller"
        raise TooLarge(f"{name} has a side of {longest:,} pixels; {remedy}.")


def _damaged(name: str) -> ImageProblem:
    return ImageProblem(f"{name} is damaged, cut off or of an unusual kind; send it again, or as PNG or .npy.")


def _kind_of(data: bytes, name: str) -> str:
    if not data:
        raise ImageProblem(f"{name} is empty: send or save it again.")
    head = data[:1024]
    if head[4:8] == b"ftyp" and not head[8:12].startswith((b"iso", b"mp4", b"qt", b"M4", b"3gp", b"jp2", b"jxl")):
        # The brand mif1 alone may be either, so the compatible brands decide.
        return "AVIF" if re.search(rb"avi[fs]", head[8:64]) else "HEIC"
    # Not init, which imports Pillow's forty other plugins, too.
    Pillow.preinit()
    for kind in FORMATS:
        accepts = Pillow.OPEN[kind][1]
        if accepts is not None and accepts(head[:16]) is True:
            return kind
    formats = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF, PPM or .npy"
    raise ImageProblem(f"{name} is not a picture of a known kind; give {formats}; a clip is for Video.")


def decode(source: Pillow.Image | bytes, name: str, max_pixels: int) -> tuple[Pixels, tuple[str, ...], bytes]:
    """Return RGB pixels and notes of an image or a file, and the file if any browser shows it so.

    Whatever a decoder raises becomes an ImageProblem.
    """
    kind = _kind_of(source, name) if isinstance(source, bytes) else ""
    try:
        if isinstance(source, Pillow.Image):
            image: Any = source
        else:
            image = bounds.open_file(kind, source, name)
        check_size(image.width, image.height, name, max_pixels)
        if isinstance(source, bytes):
            bounds.check_decoding(image, source, name)
        pixels, notes = _read_pixels(image, source, kind)
    except (ImageProblem, MemoryError):
        raise
    except Pillow.DecompressionBombError as error:
        raise TooLarge(f"{name} has too many pixels; give at most {max_pixels:,}.") from error
    except Exception as error:
        # Decoders of hostile bytes raise nearly anything: OSError, SyntaxError, KeyError, struct.error, ...
        raise _damaged(name) from error
    if not isinstance(source, bytes):
        return pixels, notes, b""
    several = True
    # The first frame is intact where a later one is not; counting them can take minutes.
    with suppress(Exception):
        several = getattr(image, "is_animated", False)
    if several:
        notes += ("Only the first frame is used.",)
    return pixels, notes, source if _is_shown_alike(image, source, kind, notes) else b""


def _read_pixels(image: Any, source: Pillow.Image | bytes, kind: str) -> tuple[Pixels, tuple[str, ...]]:
    """Return RGB pixels of an opened image, by nvJPEG where that is set."""
    is_plain = kind == "JPEG" and image.mode == "RGB" and _orientation(image) == 1 and profile_of(image) is None
    fast = None
    if is_plain and settings().nvjpeg and isinstance(source, bytes):
        fast = _by_nvjpeg(source)
    return fast or _flatten(image, source)


def _is_shown_alike(image: Any, data: bytes, kind: str, notes: tuple[str, ...]) -> bool:
    """Return whether a file is an RGB JPEG that any browser shows alike."""
    if kind != "JPEG" or notes not in ((), (BY_NVJPEG,)):
        return False
    if image.mode != "RGB" or not data.endswith(b"\xff\xd9"):
        return False
    # Without metadata.
    return [name for name, _ in image.applist] in ([], ["APP0"])


def _by_nvjpeg(data: bytes) -> tuple[Pixels, tuple[str, ...]] | None:
    """Decode a JPEG on a GPU; None where there is none or it cannot."""
    # Whatever is missing or fails, Pillow decodes it.
    with suppress(Exception):
        import torch
        from torchvision.io import decode_jpeg

        if torch.cuda.is_available():
            planes = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), device="cuda")
            return planes.permute(1, 2, 0).contiguous().cpu().numpy(), (BY_NVJPEG,)
    return None


def _flatten(image: Pillow.Image, source: Pillow.Image | bytes) -> tuple[Pixels, tuple[str, ...]]:
    # Pillow rotates a TIFF while loading and does not say so.
    before = _orientation(image) if image.format == "TIFF" else 1
    notes = [REDUCED] if ";16" in str(getattr(image, "tile", "")) else []
    image.load()
    converted = _in_srgb(image, source, deep=bool(notes))
    if converted is not None:
        rgb, transparent = _on_white(converted[0])
        notes += converted[1]
    elif image.mode == "F" or image.mode.startswith("I"):
        tones, note = grey(np.asarray(image))
        rgb, notes, transparent = Pillow.fromarray(tones).convert("RGB"), [note], False
    else:
        rgb, transparent = _on_white(image)
        notes += [f"{image.mode} converted to RGB"] * (image.mode in ("CMYK", "LAB", "YCbCr", "HSV"))
    if transparent:
        notes.append(ON_WHITE)
    left = _orientation(image)
    if before in UPRIGHT or left in UPRIGHT:
        notes.append(TURNED)
    return np.array(rgb.transpose(UPRIGHT[left]) if left in UPRIGHT else rgb), tuple(notes)


def _in_srgb(image: Pillow.Image, source: Pillow.Image | bytes, *, deep: bool) -> tuple[Pillow.Image, list[str]] | None:
    """Return a loaded picture in sRGB, with notes; None without a profile.

    `deep`: whether it has 16 bits.
    """
    profile = profile_of(image)
    if profile is None:
        return None
    if image.mode.startswith("I;16") and profile.mode == "L":
        tones = _in_strips(np.asarray(image), profile.convert_16)
        return Pillow.fromarray(tones), [*[REDUCED] * (not deep), profile.note]
    converted = None
    if deep and image.format == "PNG" and isinstance(source, bytes):
        converted = _from_deep_png(source, profile)
    converted = converted or to_srgb(image, profile)
    return None if converted is None else (converted, [profile.note])


def _from_deep_png(data: bytes, profile: Profile) -> Pillow.Image | None:
    """Return a PNG of 16 bits in sRGB; None where it has no colours."""
    # Rarely needed, and slow to import.
    import cv2

    # Pillow reads 8 of the bits, of which few levels of a linear profile are left in the dark.
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or profile.mode != "RGB":
        return None
    converted = Pillow.fromarray(_in_strips(values[..., 2::-1], profile.convert_16))
    if values.shape[2] == 4:
        converted.putalpha(Pillow.fromarray((values[..., 3] >> 8).astype(np.uint8)))
    return converted


def _orientation(image: Pillow.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Damaged EXIF is no reason to refuse intact pixels.
        return 1


@dataclass(frozen=True)
class Header:
    """The size of a picture and its turn, without its pixels."""

    size: tuple[int, int]
    """Width and height as it is decoded here: turned as its EXIF orientation says."""
    stored: tuple[int, int]
    """Width and height before that turn."""
    orientation: int
    """By EXIF: 1 is upright."""


def read_header(data: bytes, name: str) -> Header:
    """Return the size and the orientation of a file.

    Raises ImageProblem for no picture of a known kind.
    """
    kind = _kind_of(data, name)
    try:
        image = bounds.open_file(kind, data, name)
        # Without metadata Pillow would decode a PNG to look behind its pixels.
        plain = kind == "PNG" and not _PNG_METADATA.search(data)
        orientation = 1 if plain else _orientation(image)
    except ImageProblem:
        raise
    except Exception as error:
        raise _damaged(name) from error
    stored = _stored_size(image)
    # From 5 on the sides change places.
    size = stored if orientation < 5 or orientation not in UPRIGHT else (stored[1], stored[0])
    return Header(size, stored, orientation if orientation in UPRIGHT else 1)


def _stored_size(image: Pillow.Image) -> tuple[int, int]:
    """Return the width and height of an opened file before its EXIF turn."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Its size is that after the turn.
        tags = image.tag_v2
        return int(tags[TiffImagePlugin.IMAGEWIDTH]), int(tags[TiffImagePlugin.IMAGELENGTH])
    return int(image.width), int(image.height)


def _on_white(image: Pillow.Image) -> tuple[Pillow.Image, bool]:
    if image.has_transparency_data:
        # Pillow cannot convert premultiplied La to RGBA directly.
        rgba = image.convert("LA") if image.mode == "La" else image
        rgba = rgba if rgba.mode == "RGBA" else rgba.convert("RGBA")
        alpha = rgba.getchannel("A")
        if alpha.getextrema() != (255, 255):
            white = Pillow.new("RGB", image.size, "white")
            white.paste(rgba, mask=alpha)
            return white, True
    return image if image.mode == "RGB" else image.convert("RGB"), False


def grey(values: NDArray[Any], bits: int = 0) -> tuple[Pixels, str]:
    """Return numbers (H, W) or (H, W, C) as uint8 tones, with a note on how they were scaled.

    `bits`: the number of bits of unsigned numbers; 0: read from the highest one.
    """
    if not np.isfinite(values).all():
        raise ImageProblem("The picture holds values that are not finite (NaN or infinity); replace them first.")
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind != "f" and low >= 0 and high <= 65535:
        bits = bits or _bits_used(high)
        note = f"{bits}-bit reduced to 8 bits" if bits > 8 else f"values up to {high:g} taken as 8 bits"
        return _in_strips(values, lambda rows: rows >> (bits - 8)), note
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    tones = _in_strips(values, lambda rows: np.rint((rows.astype(np.float64) - low) * 255 / ((high - low) or 1)))
    return tones, f"values from {low:g} to {high:g} scaled to 0 to 255"


def _in_strips(values: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Pixels:
    """Return `convert(values)`, uint8, computed in strips of rows to save memory."""
    tones = np.empty(values.shape, np.uint8)
    parts = 1 + values.size // STRIP
    for rows, out in zip(np.array_split(values, parts), np.array_split(tones, parts), strict=True):
        out[:] = convert(rows)
    return tones


def channels_last(tensor: Any) -> NDArray[Any]:
    """Return a tensor (C, H, W), or a batch of one, channels last."""
    try:
        # numpy has no bfloat16.
        array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise ImageProblem("A tensor must be dense and have values: not sparse, quantised or on meta.") from error
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim != 3 or len(array) > MAX_CHANNELS:
        raise ImageProblem(f"A tensor must be (C, height, width), alone or as a batch of one, not {array.shape}.")
    return array.transpose(1, 2, 0)


def from_array(
    array: NDArray[Any], name: str, max_pixels: int, numbers: int = 0
) -> "tuple[Pixels, Planes | None, tuple[str, ...]]":
    """Return an array, or a batch of one, as RGB, numbers (or None), and notes; `numbers`: see `Image.open`."""
    array = as_rows(array, numbers)
    channels = array.shape[2] if array.ndim == 3 else 0
    # With fewer rows than channels its axes are probably in another order.
    if channels <= MAX_CHANNELS and len(array) > channels > 0 and (channels == numbers or channels not in (1, 3, 4)):
        check_size(array.shape[1], len(array), name, max_pixels)
        array, read = _read_numbers(array, name)
        # The caller's array stays theirs, and may change.
        pixels, planes, notes = convert_array(array.copy(), name, max_pixels)
        return pixels, planes, read + notes
    if channels not in (1, 3, 4):
        raise ImageProblem(
            "An array must be (height, width), (height, width, 1, 3 or 4) or (1, 3 or 4, height, width), not "
            f"{array.shape}."
        )
    check_size(array.shape[1], array.shape[0], name, max_pixels)
    return _as_picture(array)


def as_rows(array: NDArray[Any], numbers: int = 0) -> NDArray[Any]:
    """Return an array of any layout as (H, W, C); `numbers`: see `Image.open`."""
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim != 3 or array.shape[2] in (1, 3, 4, numbers):
        return array
    first, _, last = array.shape
    # Few columns may be channels, of more rows than these.
    is_first = 0 < first <= MAX_CHANNELS if last > MAX_CHANNELS else first in (1, 3, 4) and first < last
    return array.transpose(1, 2, 0) if is_first else array


def _as_picture(array: NDArray[Any]) -> tuple[Pixels, None, tuple[str, ...]]:
    """Return an array (H, W, 1, 3 or 4) of tones as RGB, no numbers, and notes."""
    notes: list[str] = []
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array, *notes = grey(array)
    elif array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        # Resizing overshoots a little; NaN fails both comparisons.
        if not (low >= -1e-6 and high <= 1 + 1e-6):
            advice = "give it before it is normalised" if low < 0 else "divide by its full scale"
            raise ImageProblem(f"A float picture must lie in 0 to 1, not {low:g} to {high:g}; {advice}.")
        array = np.rint(array.astype(np.float32).clip(0, 1) * 255)
    elif array.dtype != np.uint8:
        raise ImageProblem(f"An array must be uint8, uint16, bool or float in 0 to 1, not {array.dtype}.")
    array = np.ascontiguousarray(array, dtype=np.uint8)
    if array.shape[2] == 4:
        rgb, transparent = _on_white(Pillow.fromarray(array))
        return np.array(rgb), None, (*notes, *(ON_WHITE,) * transparent)
    return _rgb(array), None, tuple(notes)


def _rgb(tones: Pixels) -> Pixels:
    """Return a copy of tones (H, W, 1 or 3) with three channels."""
    return np.array(np.broadcast_to(tones, (*tones.shape[:2], 3)), order="C")


Planes = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
NPY = b"\x93NUMPY"
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""First bytes of a .npy, and of the four variants of TIFF."""
NO_DATA = (-9999.0, float(np.finfo(np.float32).min))
"""Numbers that files of measurements hold where nothing was measured, beside NaN."""
GDAL_NO_DATA, HIGHEST = 42113, (341, 281)
"""Tags of a TIFF: the number of no data (GDAL's), and those of its highest value (SMaxSampleValue, MaxSampleValue)."""
WHITE_IS_ZERO, RGB, PALETTE = 0, 2, 3
"""Kinds of a TIFF's values (PhotometricInterpretation)."""
_MIRRORED = {2: (1,), 3: (0, 1), 4: (0,), 5: (), 6: (1,), 7: (0, 1), 8: (0,)}
"""Axes that are mirrored, by EXIF orientation; from 5 on rows and columns change places before."""


def read_array(data: bytes, name: str, max_pixels: int) -> tuple[NDArray[Any], tuple[str, ...], int] | None:
    """Return the array (H, W, C) of a .npy or TIFF, notes, and bits as `convert_array` takes it; None for pictures."""
    try:
        if data.startswith(NPY):
            # A header may claim any shape; no memory is used beyond the numbers that follow.
            return *_read_numbers(np.load(BytesIO(data), allow_pickle=False), name), 0
        return _tiff(data, name, max_pixels) if data.startswith(TIFF) else None
    except (ImageProblem, MemoryError):
        raise
    except Exception as error:
        if data.startswith(NPY):
            raise _damaged(name) from error
        # The ordinary decoder reads it, or reports the error.
        return None


def _read_numbers(array: NDArray[Any], name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return an array of any layout as (H, W, C) without missing values, and notes."""
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise ImageProblem(f"{name} holds {array.dtype}, not numbers; give an array of uint8, uint16 or float32.")
    return _fill_no_data(_arrange(array.astype(array.dtype.newbyteorder("="), copy=False), name), name)


def _fill_no_data(
    array: NDArray[Any], name: str, no_data: tuple[float, ...] = NO_DATA
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return the array with each channel's median where nothing was measured, and a note."""
    kind = array.dtype.kind
    if kind not in "fi" and no_data == NO_DATA:
        return array, ()
    missing = np.isin(array, [value for value in no_data if kind == "f" or value.is_integer()])
    missing |= np.isnan(array) if kind == "f" else False
    if not missing.any():
        return array, ()
    if missing.all((0, 1)).any():
        raise ImageProblem(f"{name} has a channel without data: all its values are not finite, or stand for no data.")
    array, names = array.copy(), sorted({f"{value:g}" for value in np.unique(array[missing]).tolist()})
    for channel in range(array.shape[2]):
        empty = missing[:, :, channel]
        array[:, :, channel][empty] = np.median(array[:, :, channel][~empty]).astype(array.dtype)
    share = f"{missing.mean():.1%} of its values hold no data ({', '.join(names)})"
    return array, (f"{share}: the median of the others was put there.",)


def convert_array(
    array: NDArray[Any], name: str, max_pixels: int, bits: int = 0
) -> tuple[Pixels, Planes | None, tuple[str, ...]]:
    """Return an array (H, W, C) as RGB, numbers (or None), and notes.

    `bits`: of a photograph of uint16 how many are in use, 0 for measurements.
    """
    check_size(array.shape[1], array.shape[0], name, max_pixels)
    if bits:
        tones, note = grey(array, bits)
        return tones, None, (note,)
    channels = array.shape[2]
    if array.dtype in (np.bool_, np.uint8) and channels in (1, 3):
        return _as_picture(array)
    exact = array.dtype.name in ("uint8", "uint16")
    # Numbers beyond 3e38 become infinite here.
    with np.errstate(over="ignore"):
        planes = np.ascontiguousarray(array if exact else array.astype(np.float32))
    if not exact and not np.isfinite(planes).all():
        raise ImageProblem(f"{name} holds values that are not finite (NaN or infinity); replace them first.")
    planes.flags.writeable = False
    if channels == 1:
        tones, note = grey(array)
        return _rgb(tones), planes, (note,)
    visible = planes[:, :, :3] if channels > 2 else planes[:, :, :1]
    note = f"{channels} channels of {array.dtype}; the {'first three are' if channels > 2 else 'first is'} shown"
    if array.dtype == np.uint8:
        return _rgb(visible), planes, (note,)
    least, most = float(visible.min()), float(visible.max())
    # Nearly all fit into float32, with their differences and quotients.
    precision: Any = np.float32 if 1e-20 < max(abs(least), abs(most)) < 1e30 else np.float64
    low, high = 0.0, 1.0
    if array.dtype.kind != "f" or least < 0 or most > 1:
        low, high = map(float, np.percentile(visible.astype(precision, order="C"), (1, 99), overwrite_input=True))
    factor = 255 / ((high - low) or 1)
    tones = _in_strips(visible, lambda rows: np.rint((rows.astype(precision) - low) * factor).clip(0, 255))
    return _rgb(tones), planes, (f"{note}, {low:g} as black and {high:g} as white",)


def _arrange(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Rearrange any layout of an array, or batch of one, as (H, W, C)."""
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3 and array.size:
        first, _, last = array.shape
        if first <= MAX_CHANNELS and (first < last or last > MAX_CHANNELS):
            return array.transpose(1, 2, 0)
        if last <= MAX_CHANNELS:
            return array
    sides = " x ".join(map(str, array.shape))
    raise ImageProblem(
        f"{name} is an array of {sides}; give (height, width) or (height, width, channels), {MAX_CHANNELS} at most."
    )


def _tiff(data: bytes, name: str, max_pixels: int) -> tuple[NDArray[Any], tuple[str, ...], int] | None:
    """Return a TIFF's channels, or its numbers that are no bytes.

    None for an ordinary picture, grey or in colour.
    """
    from tifffile import TiffFile

    # It would log errors reported here as sentences.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with TiffFile(BytesIO(data)) as file:
        page: Any = file.pages[0]
        source = _numbers_in(file)
        if source is None:
            return None
        if source.nbytes > 4 * max_pixels:
            raise TooLarge(f"{name} has {source.nbytes:,} bytes of numbers; give at most {4 * max_pixels:,}.")
        check_sides(name, *source.shape)
        try:
            array = source.asarray()
        except Exception as reason:
            if not file.pages.is_multipage and page.samplesperpixel in (1, 3):
                return None
            raise _damaged(name) from reason
        return _apply_tags(page, _arrange(array, name), name)


def _numbers_in(file: Any) -> Any:
    """Return the page or pages of a TIFF that hold numbers; None: a picture."""
    page = file.pages[0]
    if int(page.photometric) not in (0, 1, 2, 3) or page.dtype is None:
        return None
    if not file.pages.is_multipage:
        return None if _is_ordinary(page) else page
    if page.samplesperpixel != 1 or _is_document(file):
        return None
    series = file.series[0]
    is_stack = series.axes in ("QYX", "CYX", "SYX") and min(series.shape[::2]) <= MAX_CHANNELS
    return series if is_stack else None


def _is_ordinary(page: Any) -> bool:
    """Return whether a TIFF's page is a picture that any decoder reads."""
    if int(page.photometric) == PALETTE:
        return True
    if page.samplesperpixel in (2, 4):
        return any(int(extra) in (1, 2) for extra in page.extrasamples)
    has_numbers = page.dtype.kind in "fi" or page.dtype.itemsize > 1
    return page.samplesperpixel in (1, 3) and not has_numbers


def _is_document(file: Any) -> bool:
    """Return whether a TIFF has more pages than a picture has channels.

    tifffile writes an (H, W, C) array as H pages, which says its shape. A crafted file may claim millions of pages,
    which are not counted.
    """
    with suppress(IndexError):
        return not file.pages[0].is_shaped and file.pages[MAX_CHANNELS] is not None
    return False


def _apply_tags(page: Any, array: NDArray[Any], name: str) -> tuple[NDArray[Any], tuple[str, ...], int]:
    """Return a TIFF's array as its tags say, with notes, and bits as `convert_array` takes it."""
    # Only these: others may be large.
    codes = (*HIGHEST, int(ExifTags.Base.Orientation), GDAL_NO_DATA, int(ExifTags.Base.InterColorProfile))
    tags = {code: page.tags[code].value for code in codes if code in page.tags}
    photometric = int(page.photometric)
    highest = next((np.max(tags[tag]) for tag in HIGHEST if tag in tags), 0)
    bits = int(np.max(page.bitspersample))
    if array.dtype.kind == "u" and highest > 255:
        bits = int(highest).bit_length()
    if photometric == WHITE_IS_ZERO:
        array = _invert(array, bits)
    notes: tuple[str, ...] = ()
    orientation = tags.get(ExifTags.Base.Orientation)
    if orientation in _MIRRORED:
        upright = array.transpose(1, 0, 2) if orientation > 4 else array
        array = np.flip(upright, _MIRRORED[orientation])
        notes = (TURNED,)
    no_data: tuple[float, ...] = NO_DATA
    with suppress(KeyError, ValueError):
        no_data += (float(str(tags[GDAL_NO_DATA]).strip("\0 ")),)
    array, note = _fill_no_data(array, name, no_data)
    notes += note
    if photometric != RGB or array.dtype != np.uint16 or array.shape[2] != 3:
        return array, notes, 0
    # Scanners state 16 bits and use fewer.
    if bits >= 16 and not highest:
        bits = _bits_used(array.max())
    tones = _tones_of(array, bits, tags.get(ExifTags.Base.InterColorProfile))
    if tones is None:
        return array, notes, bits
    rgb, note = tones
    return rgb, notes + note, 0


def _invert(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return numbers inverted within their bits, and floats within their range."""
    if array.dtype.kind == "i":
        return ~array
    white = array.min() + array.max() if array.dtype.kind == "f" else (1 << bits) - 1
    inverted: NDArray[Any] = white - array
    return inverted


def _tones_of(array: NDArray[np.uint16], bits: int, data: bytes | None) -> tuple[Pixels, tuple[str, ...]] | None:
    """Return a photograph of uint16 in sRGB, and notes; None without a profile."""
    profile = read_profile(bytes(data)) if data else None
    if profile is None or profile.mode != "RGB":
        return None
    whole = (1 << bits) - 1

    def convert(rows: NDArray[np.uint16]) -> Pixels:
        return profile.convert_16((rows.astype(np.uint32) * 65535 // whole).astype(np.uint16))

    return _in_strips(array, convert), (f"{bits}-bit reduced to 8 bits", profile.note)


def _bits_used(high: float) -> int:
    """Return how many of 16 bits a highest number needs: scanners store 12."""
    return 16 if high >= 1 << 12 else 12 if high >= 1 << 8 else 8
