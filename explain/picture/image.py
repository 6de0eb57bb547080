"""Open pictures from any source as RGB arrays.

Input is untrusted: its kind is read from its content, its size from its header before any pixel is unpacked, and every
decoder error becomes one sentence.
"""

import hashlib
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem, TooLarge
from sightglass.explain.phrases import plural
from sightglass.explain.picture import decode
from sightglass.explain.picture.decode import Pixels, Planes, convert_array
from sightglass.models.checkpoints import weights
from sightglass.models.demo.pictures import example_named, example_source

MAX_BYTES, MAX_PIXELS = 64 * 2**20, 100_000_000
"""Limits of `Image.open`: of a file, and of a picture's area; of a side see `decode.MAX_SIDE`."""
PNG_LEVEL = 3
"""zlib's, of PNG: a photograph and its overlay took less than half the time of Pillow's 6, in files as large."""


@dataclass(frozen=True, eq=False)
class Image:
    """A decoded picture.

    `pixels` is uint8 (H, W, 3) RGB in 0..255, C-contiguous and read-only; `name` is a bare file name; `notes`
    say what decoding changed. Two Images are the same picture if their `sha256` are equal.
    """

    pixels: Pixels
    name: str = "picture"
    notes: tuple[str, ...] = ()
    jpeg: bytes = b""
    """The file itself, if it is a JPEG without metadata, which any browser shows as these pixels."""
    planes: Planes | None = None
    """The numbers of a picture that is not RGB bytes: uint8, uint16 or float32 (H, W, C), read-only, for models that
    take that many channels. `pixels` is a rendering of it."""

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ImageProblem(f"pixels must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}.")
        decode.check_sides(self.name, self.height, self.width)
        if pixels.flags.writeable or not pixels.flags.c_contiguous:
            pixels = pixels.copy(order="C")
            pixels.flags.writeable = False
            object.__setattr__(self, "pixels", pixels)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of shape and pixels, and of type, shape and values of `planes` if there are any."""
        digest = hashlib.sha256("x".join(map(str, self.pixels.shape)).encode())
        digest.update(self.pixels.data)
        if self.planes is not None:
            digest.update(f"{self.planes.dtype}{self.planes.shape}".encode())
            digest.update(self.planes.data)
        return digest.hexdigest()

    @cached_property
    def key(self) -> str:
        """Hex digest of what it was opened from: pictures with equal ones are the same, others may be."""
        return hashlib.sha256(self.jpeg + repr(self.notes).encode()).hexdigest() if self.jpeg else self.sha256

    def array(self, channels: int, model: str) -> Pixels | Planes:
        """Return what a model with these channels takes of the picture: `pixels` or `planes`, (H, W, C).

        Raises ImageProblem, with the name of the `model`, for a picture with another number of channels.
        """
        has = 3 if self.planes is None else self.planes.shape[2]
        if self.planes is not None and has == channels:
            return self.planes
        if channels in (1, 3) and has in (1, 3, 4):
            return self.pixels
        takes = f"{plural(channels, 'channel')}: choose another model, or give a picture of {channels} (.npy or .tif)"
        raise ImageProblem(f"{self.name} has {plural(has, 'channel')}, and {model} takes {takes}.")

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def thumbnail(self, side: int) -> Pixels:
        """Return uint8 (h, w, 3) with the same proportions, no side above `side`, never enlarged."""
        scale = min(1.0, side / max(self.height, self.width))
        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        return np.array(Pillow.fromarray(self.pixels).resize(size, Pillow.Resampling.LANCZOS, reducing_gap=2.0))

    @staticmethod
    def open(
        source: object,
        *,
        name: str | None = None,
        numbers: int = 0,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
    ) -> "Image":
        """Decode `source` into an Image.

        Takes a path; a bundled picture's name, such as `bus.jpg`, unless a file of that name is in the working folder;
        bytes; a binary file or upload (read from its start); a Pillow image; an array (H, W), (H, W, 1), (H, W, 3) or
        (H, W, 4) of uint8, uint16, bool or float in 0..1, or one of more than four columns with its channels first; an
        array (H, W, 2 to 16) of any numbers; a tensor of the same, (C, H, W), alone or as a batch of one; or an Image,
        which is returned as it is. Files may also be .npy, or TIFFs with many channels. `numbers`: an array with so
        many channels holds numbers, as a file does, and no colours.

        Raises ImageProblem for anything else and for a damaged or truncated file; TooLarge, a subclass, for more than
        `max_bytes` or `max_pixels`, or a side above `decode.MAX_SIDE`.

            picture = Image.open("bus.jpg")
            picture.pixels.shape  # (1080, 810, 3)
        """
        if isinstance(source, Image):
            return source
        if isinstance(source, (str, os.PathLike)) and weights.is_address(source):
            raise ImageProblem(f"{source} {weights.NO_ADDRESS}")
        if isinstance(source, (str, os.PathLike)) and (example := example_meant(os.fsdecode(source))) is not None:
            return load_bundled(example)
        # Another thread may be importing torch.
        tensors = getattr(sys.modules.get("torch"), "Tensor", ())
        file_path = source if isinstance(source, (str, os.PathLike)) else None
        title = _base_name(name or file_path or getattr(source, "filename", None) or getattr(source, "name", None))
        file, planes = b"", None
        try:
            if isinstance(source, Pillow.Image):
                pixels, notes, _ = decode.decode(source, title, max_pixels)
            elif isinstance(source, (np.ndarray, tensors)):
                values = source if isinstance(source, np.ndarray) else decode.channels_last(source)
                pixels, planes, notes = decode.from_array(values, title, max_pixels, numbers)
            elif (found := decode.read_array(data := _read(source, title, max_bytes), title, max_pixels)) is not None:
                array, read, bits = found
                pixels, planes, notes = convert_array(array, title, max_pixels, bits)
                notes = read + notes
            else:
                pixels, notes, file = decode.decode(data, title, max_pixels)
        except MemoryError as error:
            raise TooLarge(f"{title} does not fit in memory; give a smaller picture.") from error
        pixels.flags.writeable = False
        return Image(pixels, title, notes, file, planes)

    @staticmethod
    def of_tensor(tensor: Any) -> "Image":
        """Wrap a preprocessed float tensor (C, h, w), also of a processor's batch, shown with stretched contrast."""
        if isinstance(tensor, Mapping):
            import torch

            tensor = torch.as_tensor(np.asarray(tensor["pixel_values"]))
        array = decode.channels_last(tensor.float())
        pixels, planes, notes = convert_array(np.ascontiguousarray(array), "tensor", MAX_PIXELS)
        return Image(pixels, "tensor", notes, planes=planes)


def example_meant(path: str) -> str | None:
    """Return the example that a bare name (`bus.jpg`) is of, or None; a path names a missing file."""
    if os.path.basename(path) != path or os.path.exists(path):
        return None
    return example_named(path) or example_named(path.replace("-", " "))


def load_bundled(name: str) -> Image:
    """Open a bundled picture by its name in `EXAMPLES`; raise ImageProblem where its package is not installed."""
    source, file_name = example_source(name)
    return Image.open(source, name=file_name)


def to_png(pixels: Pixels) -> bytes:
    """Encode uint8 (H, W), (H, W, 3) or (H, W, 4) as PNG, without loss."""
    return _encode(pixels, "PNG", compress_level=PNG_LEVEL)


def to_lossless(pixels: Pixels) -> tuple[bytes, str]:
    """Encode uint8 (H, W, 3) losslessly; return the bytes and format."""
    # The longest side of a WebP.
    if max(pixels.shape[:2]) > 16_383:
        return to_png(pixels), "png"
    return _encode(pixels, "WEBP", lossless=True, quality=20, method=1), "webp"


def to_jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Encode uint8 (H, W) or (H, W, 3) as JPEG with `quality` in 1..95."""
    return _encode(pixels, "JPEG", quality=quality)


def _encode(pixels: Pixels, kind: str, **options: int) -> bytes:
    out = BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(out, kind, **options)
    return out.getvalue()


def _base_name(value: object) -> str:
    text = os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else ""
    text = re.split(r"[/\\]", text)[-1]
    # Category C: control characters, lone surrogates and marks that reverse the direction of text.
    text = "".join(c for c in text if not unicodedata.category(c).startswith("C")).strip()[-120:]
    return text if text.strip(". ") else "picture"


def to_path(text: str) -> Path:
    """Return the path of a file, also of its address: `file:///a%20b.jpg` is `/a b.jpg`, unless that is its name."""
    address = re.fullmatch(r"file://(?:localhost(?=/))?(.*)", text, re.IGNORECASE | re.DOTALL)
    if address is None:
        return Path(text)
    path = Path(address[1])
    return path if path.exists() else Path(unquote(address[1]))


def _read(source: object, name: str, max_bytes: int) -> bytes:
    data: bytes | bytearray = bytearray()
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
        elif isinstance(source, (str, os.PathLike)):
            path = to_path(os.fsdecode(source))
            if path.is_dir():
                raise ImageProblem(f"{name} is a folder: give a picture in it.")
            # A device may never end.
            if path.exists() and not path.is_file():
                raise ImageProblem(f"{name} is no file, but a pipe or a device: save the picture, or pipe it to `-`.")
            if not path.is_file():
                raise ImageProblem(f"There is no file {name} at that path; check the path and try again.")
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
        elif hasattr(source, "read"):
            stream: Any = source
            # A stream read before is at its end.
            if hasattr(stream, "seekable") and stream.seekable():
                stream.seek(0)
            # A raw stream may return fewer bytes than requested.
            while len(data) <= max_bytes and (part := stream.read(max_bytes + 1 - len(data))):
                data += part
        else:
            raise ImageProblem(f"Give a path, bytes, a file, an array or a Pillow image, not {type(source).__name__}.")
    except ImageProblem:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise ImageProblem(f"{name} could not be read: check that it exists and may be opened.") from error
    if len(data) > max_bytes:
        raise TooLarge(f"{name} is too large; give at most {max_bytes:,} bytes.")
    return bytes(data)
