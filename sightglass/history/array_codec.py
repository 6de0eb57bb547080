"""Compress arrays without loss.

An upsampled map is smooth: the bits of neighbours, read as integers, differ little (the floating-point predictor of
TIFF). The file begins with the length of its description, then the description in JSON.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAGIC = b"SGMAPS1\n"
KINDS = ("uint8", "uint16", "float32")
MAX_BYTES = 2**31
"""Maximum number of bytes to unpack."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack arrays of uint8, uint16 or float32 with two or three axes, by name; the same arrays give the same bytes."""
    listed, parts = [], []
    for name, array in arrays.items():
        if array.dtype.name not in KINDS or array.ndim not in (2, 3) or not array.size:
            raise ValueError(
                f"{name} must be of {', '.join(KINDS)} with two or three axes, not {array.dtype} {array.shape}."
            )
        listed.append({"name": name, "kind": array.dtype.name, "shape": array.shape})
        bits = np.ascontiguousarray(array).view(_bits(array.dtype.name))
        steps = bits.copy()
        steps[:, 1:] -= bits[:, :-1]
        parts.append(_planes(steps))
    head = json.dumps(listed, separators=(",", ":")).encode()
    return MAGIC + struct.pack("<I", len(head)) + head + zlib.compress(b"".join(parts), 6)


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays that `pack` was given; raise Problem for any other data."""
    try:
        if not data.startswith(MAGIC):
            raise ValueError("another kind of file")
        (length,) = struct.unpack_from("<I", data, len(MAGIC))
        start = len(MAGIC) + 4
        listed = [
            (str(one["name"]), str(one["kind"]), tuple(map(int, one["shape"])))
            for one in json.loads(data[start : start + length])
        ]
        sizes = [math.prod(shape) * _bits(kind).itemsize for _, kind, shape in listed]
        if any(len(shape) not in (2, 3) or min(shape) < 1 for _, _, shape in listed) or sum(sizes) > MAX_BYTES:
            raise ValueError("shapes")
        inflate = zlib.decompressobj()
        inflated = inflate.decompress(data[start + length :], sum(sizes) + 1)
        if len(inflated) != sum(sizes) or not inflate.eof:
            raise ValueError("length")
        found, at = {}, 0
        for (name, kind, shape), size in zip(listed, sizes, strict=True):
            bits = _bits(kind)
            steps = np.frombuffer(inflated, np.uint8, size, at).reshape(bits.itemsize, -1)
            differences = np.ascontiguousarray(steps.T).view(bits).reshape(shape)
            array = np.cumsum(differences, axis=1, dtype=bits).view(kind)
            array.flags.writeable = False
            found[name], at = array, at + size
        return found
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise Problem(f"A file of maps is damaged ({error}).") from error


def _bits(kind: str) -> np.dtype[Any]:
    """Return the unsigned little-endian integer type of the same width."""
    return np.dtype({"uint8": "<u1", "uint16": "<u2", "float32": "<u4"}[kind])


def _planes(values: NDArray[Any]) -> bytes:
    """Return all first bytes, then all second ones, and so on: the high ones hardly change."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return np.ascontiguousarray(flat.view(np.uint8).reshape(-1, values.dtype.itemsize).T).tobytes()
