"""Read pictures through fsspec (`s3://…`).

A storage is not trusted: names become keys and never paths, no more bytes are read than a picture may have, and every
network error becomes one sentence.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain.picture.image import MAX_BYTES
from sightglass.explain.picture.item import (
    LISTS,
    MAX_LIST_BYTES,
    PICTURES,
    Item,
    Unreachable,
    list_entries,
    printable,
    short,
)

PAUSES = (0.2, 1.0, None)
"""Seconds to wait before each retry."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_STAMPS = ("ETag", "etag", "md5Hash", "crc32c", "mtime", "LastModified", "last_modified", "updated", "created")
"""Names under which storages give a value that changes with the content."""


def local_path(text: str) -> Path | None:
    """Return the path of a local file, `file://` or plain; None for a remote address."""
    match = _ADDRESS.match(text)
    if match is None:
        return Path(text)
    return Path(text[match.end() :]) if match[1].lower() in ("file", "local") else None


def filesystem(url: str) -> tuple[Any, str]:
    """Return an address's file system and path; raise ModelProblem if unreachable."""
    if "::" in url:
        raise ModelProblem(f"{short(url)} is an archive in a storage: copy it here, or unpack it there.")
    # Slow to import; torch requires it.
    import fsspec  # type: ignore[import-untyped]

    try:
        system, path = fsspec.core.url_to_fs(url)
    except Exception as error:
        # An unknown protocol, a missing package, an invalid address.
        raise ModelProblem(f"{short(url)} cannot be reached ({_reason(error)}): check the address.") from error
    return system, str(path)


def item(url: str, label: str | None) -> Item:
    """Return one picture of a list, without checking that it exists."""
    system, path = filesystem(url)
    return Item(printable(url), "listed", partial(fetch, system, path, None), label)


def items(url: str, skip: str = "") -> Iterator[Item]:
    """Yield the pictures at a folder's, pattern's, list's or picture's address, except below `skip`."""
    system, path = filesystem(url)
    ends = PurePosixPath(path).suffix.lower()
    if ends == ".zip":
        raise ModelProblem(f"{short(url)} is an archive in a storage: copy it here, or unpack it there.")
    named = "*" in path or ends in PICTURES
    try:
        if ends in LISTS and not named:
            with system.open(path, "rb") as file:
                return _list(url, file.read(MAX_LIST_BYTES + 1))
        find = system.glob if "*" in path else system.find
        listing: dict[str, Any] = {path: system.info(path)} if named and "*" not in path else find(path, detail=True)
    except Exception as error:
        raise ModelProblem(f"{short(url)} cannot be read ({_reason(error)}): check address and rights.") from error
    root = path.partition("*")[0].rpartition("/")[0] if named else path.rstrip("/")
    out = f"{filesystem(skip)[1].rstrip('/')}/" if skip and local_path(skip) is None else None
    return _choose(system, listing, root, out, named=named)


def _choose(system: Any, listing: dict[str, Any], root: str, skip: str | None, *, named: bool) -> Iterator[Item]:
    for path, info in sorted(listing.items()):
        below = path[len(root) :].lstrip("/") if path.startswith(root) else path
        hidden = any(part.startswith(".") for part in below.split("/"))
        if info.get("type") == "directory" or (not named and (hidden or not path.lower().endswith(PICTURES))):
            continue
        if skip is None or not path.startswith(skip):
            size, stamp = info.get("size"), next((f"{info[name]}" for name in _STAMPS if info.get(name)), "")
            yield Item(printable(below), f"{size}-{stamp}", partial(fetch, system, path, size))


def _list(url: str, data: bytes) -> Iterator[Item]:
    folder = url.rpartition("/")[0]
    for name, label in list_entries(short(url), data):
        # A remote list must not name local files.
        if _ADDRESS.match(name) and local_path(name) is not None:
            continue
        entry = item(name if _ADDRESS.match(name) else f"{folder}/{name}", label)
        yield entry if _ADDRESS.match(name) else Item(printable(name), entry.stamp, entry.read, label)


def fetch(system: Any, path: str, size: int | None) -> bytes:
    """Return a picture's bytes; raise ImageProblem if it is missing or too large, Unreachable if the network fails."""
    name = printable(PurePosixPath(path).name)
    if size is not None and size > MAX_BYTES:
        raise ImageProblem(f"{name} holds {size:,} bytes; give at most {MAX_BYTES:,}.")
    for pause in PAUSES:
        try:
            with system.open(path, "rb") as file:
                return bytes(file.read(MAX_BYTES + 1))
        except FileNotFoundError as error:
            raise ImageProblem(f"{name} is not there: check the path.") from error
        except Exception as error:
            if pause is None:
                raise Unreachable(
                    f"{name} could not be fetched ({_reason(error)}): the next run tries again."
                ) from error
            time.sleep(pause)
    raise AssertionError


def _reason(error: Exception) -> str:
    """Return an error message as the middle of a sentence."""
    return short((str(error).splitlines() or [""])[0].rstrip(". ") or type(error).__name__)
