"""Pack a JSON header and binary blobs."""

import json
import struct
from collections.abc import Sequence

from sightglass.common.files import Json, to_json

MAX_HEADER = 2**20
"""Maximum bytes of a header: parsed JSON takes up to 25 times the memory."""


def pack_data(head: Json, blobs: Sequence[bytes] = ()) -> bytes:
    """Pack a header and its blobs: [u32 length][JSON, padded to 4][blob][blob]…, little-endian.

    The header gets `sizes`, the bytes of each blob. `sightglass/browser/unpack.js` takes it apart in the browser.
    """
    text = to_json(head | {"sizes": [len(blob) for blob in blobs]}, None).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def unpack_data(data: bytes) -> tuple[Json, list[bytes]]:
    """Return the header and blobs of `pack_data`; raise ValueError."""
    if len(data) < 4:
        raise ValueError("too short for a header")
    (length,) = struct.unpack_from("<I", data)
    if length > min(len(data) - 4, MAX_HEADER):
        raise ValueError("the header is cut off, or too long")
    try:
        head = json.loads(data[4 : 4 + length])
    except RecursionError as error:
        raise ValueError("the header is nested too deeply") from error
    sizes = head.get("sizes") if isinstance(head, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError("the header names no sizes")
    if 4 + length + sum(sizes) != len(data):
        raise ValueError("the sizes do not match")
    blobs, at = [], 4 + length
    for size in sizes:
        blobs.append(data[at : at + size])
        at += size
    return head, blobs
