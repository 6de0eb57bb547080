"""Pictures on other machines: any storage that fsspec knows, by an address as `s3://bucket/photographs`.

What a storage says is trusted no more than an archive: names become keys and never paths, no more bytes are read than a
picture may have, and whatever the network raises ends as one sentence.
"""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from common.errors import ImageProblem, ModelProblem
from explain.batch.source import LISTS, MOST_NAMES, PICTURES, Item, Unreachable, _text, entries
from explain.picture.image import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_STAMPS = ("ETag", "etag", "md5Hash", "crc32c", "mtime", "LastModified", "last_modified", "updated", "created")
"""What storages say of a file that is another once its content is."""
PAUSES = (0.2, 1.0, None)
"""Seconds before the network is asked again."""


def here(text: str) -> Path | None:
    """The path of what is on this machine, `file://` or plain; None of an address elsewhere."""
    found = _ADDRESS.match(text)
    if found is None:
        return Path(text)
    return Path(text[found.end() :]) if found[1].lower() in ("file", "local") else None


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it; raises ModelProblem where there is none."""
    if "::" in url:
        raise ModelProblem(f"{short(url)} is an archive in a storage: copy it here, or unpack it there.")
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError as error:
        raise ModelProblem(
            f"{short(url)} is not on this machine: what can read it comes with pip install -r requirements-ray.txt."
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(url)
    except Exception as error:
        # A protocol that is none, a package of its own that is not installed, an address that cannot be read.
        raise ModelProblem(f"{short(url)} cannot be reached ({_said(error)}): check the address.") from error
    return system, str(path)


def item(url: str, label: str | None) -> Item:
    """One picture of a list; that it is there shows when its turn comes."""
    system, path = filesystem(url)
    return Item(_text(url), "listed", partial(fetch, system, path, _text(PurePosixPath(path).name), None), label)


def items(url: str, skip: str = "") -> Iterator[Item]:
    """Every picture of an address: a folder, a pattern with `*`, a list, or one picture.

    `skip`: an address below which nothing is looked at.
    """
    system, path = filesystem(url)
    ends = PurePosixPath(path).suffix.lower()
    try:
        if "*" in path:
            found = system.glob(path, detail=True)
            root = path[: path.index("*")].rpartition("/")[0]
        elif ends in PICTURES:
            found, root = {path: system.info(path)}, path.rpartition("/")[0]
        elif ends in LISTS:
            with system.open(path, "rb") as file:
                text = file.read(MOST_NAMES + 1)
            return _listed(url, text)
        elif ends == ".zip":
            raise ModelProblem(f"{short(url)} is an archive in a storage: copy it here, or unpack it there.")
        else:
            found, root = system.find(path, detail=True), path.rstrip("/")
    except ModelProblem:
        raise
    except Exception as error:
        raise ModelProblem(f"{short(url)} cannot be read ({_said(error)}): check address and rights.") from error
    out = filesystem(skip)[1].rstrip("/") if skip and here(skip) is None else None
    return _found(system, found, root, out, every="*" in path or ends in PICTURES)


def _found(system: Any, found: dict[str, Any], root: str, skip: str | None, *, every: bool) -> Iterator[Item]:
    for path in sorted(found):
        info = found[path]
        below = path[len(root) :].lstrip("/") if path.startswith(root) else path
        hidden = any(part.startswith(".") for part in below.split("/"))
        if info.get("type") == "directory" or (not every and (hidden or not path.lower().endswith(PICTURES))):
            continue
        if skip is not None and path.startswith(f"{skip}/"):
            continue
        size = info.get("size")
        stamp = next((f"{info[name]}" for name in _STAMPS if info.get(name)), "")
        yield Item(_text(below), f"{size}-{stamp}", partial(fetch, system, path, _text(PurePosixPath(path).name), size))


def _listed(url: str, data: bytes) -> Iterator[Item]:
    if len(data) > MOST_NAMES:
        raise ModelProblem(f"The list {short(url)} is larger than {MOST_NAMES >> 20} MB: give it in several parts.")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelProblem(f"The list {short(url)} cannot be read: is it a text file with one path a line?") from error
    folder = url.rpartition("/")[0]
    for name, label in entries(lines):
        # A list from elsewhere says nothing of files here.
        if _ADDRESS.match(name) and here(name) is not None:
            continue
        made = item(name if _ADDRESS.match(name) else f"{folder}/{name}", label)
        yield made if _ADDRESS.match(name) else Item(_text(name), made.stamp, made.read, label)


def fetch(system: Any, path: str, name: str, size: int | None) -> bytes:
    """A picture's bytes.

    Raises ImageProblem for what is not there or too large, Unreachable where the network fails.
    """
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
                raise Unreachable(f"{name} could not be fetched ({_said(error)}): the next run tries again.") from error
            time.sleep(pause)
    raise AssertionError


def short(text: str) -> str:
    """An address for a sentence: not too long, and without whatever it carries to log in with."""
    text = re.sub(r"://[^/@]*@", "://", _text(text))
    return text if len(text) <= 80 else f"…{text[-79:]}"


def _said(error: Exception) -> str:
    """What a library says, as the middle of a sentence."""
    return short((str(error).splitlines() or [""])[0].rstrip(". ") or type(error).__name__)
