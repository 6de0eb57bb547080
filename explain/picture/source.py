"""Find pictures in folders, patterns, lists and archives.

The source is not trusted: an archive's names are never used as paths, and its sizes are checked before anything is
unpacked. A source that cannot be read is a ModelProblem; a problem with a single file is found when it is opened.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.picture import archive, remote
from sightglass.explain.picture.image import example_meant, load_bundled
from sightglass.explain.picture.item import LISTS, PICTURES, Item, list_entries, printable, short

MAX_PICTURES = 200_000


def find(
    source: Any,
    *,
    within: Path | None = None,
    skip: Path | str | None = None,
    most: int = MAX_PICTURES,
    base: Path | None = None,
) -> list[Item]:
    """Return every picture of a source, always in the same order.

    `source`: a folder (searched recursively), a pattern with `*`, a text file with one path a line (and optionally a
    tab and a label), a .zip, one picture, a bundled one's name (`bus.jpg`), or a sequence of paths, of (name, bytes),
    or of Items. A folder, a pattern, a list and a picture may be on any storage that fsspec knows
    (`s3://bucket/photographs`). `within`: leave out files outside of this folder, wherever a link leads, bundled
    pictures, and every other machine. `skip`: a folder to leave out, such as the output folder. `base`: where relative
    paths begin, by default in the current folder. Raises ModelProblem if there are no pictures, or more than `most`.
    """
    if isinstance(source, str | os.PathLike):
        pictures = _from_path(str(source), within, skip, base)
    elif isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
        pictures = _from_sequence(source, within, base or Path.cwd())
    else:
        raise ModelProblem(
            f"Pictures come from a folder, a pattern, a list or a .zip, not from {type(source).__name__}."
        )
    items: list[Item] = []
    for item in pictures:
        if len(items) == most:
            raise ModelProblem(f"There are more than {most:,} pictures: give them in several parts.")
        items.append(item)
    if not items:
        raise ModelProblem(f"There are no pictures in {short(source)}: check the path and the file extensions.")
    return _label(_with_unique_keys(items))


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` items at even intervals, in order: from sorted folders, some of each."""
    if count >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _from_path(source: str, within: Path | None, skip: Path | str | None, base: Path | None) -> Iterator[Item]:
    path = remote.local_path(source)
    if path is None:
        if within is not None:
            raise ModelProblem(f"{short(source)} is not on this machine: give a folder of it.")
        return remote.items(source, str(skip or ""))
    typed, path = source, (base or Path()) / path.expanduser()
    skip = remote.local_path(str(skip)) if skip is not None else None
    source = str(path)
    if path.is_dir():
        return _folder(path, within, skip)
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return archive.items(path)
        return _list(path, within) if path.suffix.lower() in LISTS else _files([(path, None)], path.parent, within)
    if glob.has_magic(source):
        named = sorted(glob.glob(str(path), recursive=True))
        fixed = str(path)[: min(str(path).find(sign) for sign in "*?[" if sign in str(path))]
        root = Path(fixed if fixed.endswith(os.sep) else os.path.dirname(fixed))
        return _files([(Path(name), None) for name in named if os.path.isfile(name)], root, within)
    if within is None and (example := example_meant(typed)) is not None:
        return iter([_example(example, typed)])
    raise ModelProblem(f"There is nothing at {short(source)}: give a folder, a pattern, a list or a .zip.")


def _folder(root: Path, within: Path | None, skip: Path | None) -> Iterator[Item]:
    left_out = skip.resolve() if skip is not None else None

    def walk() -> Iterator[tuple[Path, None]]:
        # Links to folders are not followed: they may form a loop.
        for folder, below, names in os.walk(root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            if left_out is not None and (left_out in (here := Path(folder).resolve()).parents or here == left_out):
                below.clear()
                continue
            for name in sorted(names):
                if name.lower().endswith(PICTURES) and not name.startswith("."):
                    yield Path(folder, name), None

    return _files(walk(), root, within)


def _list(path: Path, within: Path | None) -> Iterator[Item]:
    """Yield the pictures of a list, local or remote."""
    for name, label in list_entries(path.name, path):
        if (local := remote.local_path(name)) is not None:
            yield from _files([(path.parent / local, label)], path.parent, within)
        elif within is None:
            yield remote.item(name, label)


def _files(paths: Iterable[tuple[Path, str | None]], root: Path, within: Path | None) -> Iterator[Item]:
    inside = within.resolve() if within is not None else None
    for path, label in paths:
        try:
            if inside is not None and inside not in path.resolve().parents:
                continue
            status = path.stat()
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
        except (OSError, ValueError, RuntimeError):
            if inside is not None:
                continue
            # Reported when the picture is opened: one missing file must not stop the others.
            stamp = "missing"
        try:
            key = path.relative_to(root)
        except ValueError:
            key = path
        yield Item(printable(key.as_posix()), stamp, partial(Path, path), label)


def _example(name: str, typed: str) -> Item:
    return Item(typed, "bundled", partial(load_bundled, name))


def _from_sequence(source: Sequence[Any], within: Path | None, base: Path) -> Iterator[Item]:
    for entry in source:
        if isinstance(entry, Item):
            yield entry
        elif isinstance(entry, tuple):
            name, data = entry
            stamp = hashlib.sha256(data).hexdigest()[:16]
            yield Item(printable(str(name).replace("\\", "/").lstrip("/")), stamp, partial(bytes, data))
        elif (path := remote.local_path(os.fspath(entry))) is None:
            if within is None:
                yield remote.item(entry, None)
        elif (
            within is None
            and not (base / path.expanduser()).exists()
            and (example := example_meant(os.fspath(entry))) is not None
        ):
            yield _example(example, os.fspath(entry))
        else:
            yield from _files([(base / path.expanduser(), None)], base, within)


def _with_unique_keys(items: list[Item]) -> list[Item]:
    """Make keys unique by numbering repeated ones."""
    seen: dict[str, int] = {}
    out = []
    for item in items:
        count = seen[item.key] = seen.get(item.key, 0) + 1
        out.append(item if count == 1 else replace(item, key=f"{item.key} ({count})"))
    return out


def _label(items: list[Item]) -> list[Item]:
    """Label each picture with its folder, if there are several folders."""
    parents = [PurePosixPath(item.key).parent.name for item in items]
    if len({parent for parent in parents if parent}) < 2:
        return items
    return [
        item if item.label is not None or not parent else replace(item, label=parent)
        for item, parent in zip(items, parents, strict=True)
    ]
