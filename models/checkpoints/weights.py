"""Find or download weights, without torch: the menu needs to know what is here before anything heavy is imported."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import mmap
import os
import re
import threading
import time
import urllib.request
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sightglass.common import packaged
from sightglass.common.errors import Problem, WeightsProblem
from sightglass.common.files import Stamp, atomic_write, note_files, remove_drafts, stamp
from sightglass.common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.models.adapter import Progress
    from sightglass.models.spec import ModelSpec

LOGGER = logging.getLogger(__name__)
TIMEOUT_S = 8.0
"""Seconds to wait for a server: a closed network does not answer at all."""
CHUNK = 1 << 20
"""Bytes that are read at once."""
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a repository of Hugging Face, in order of preference; the first is downloaded."""
EXPORTED = (".onnx", ".torchscript")
"""Extensions of exported models."""
SUFFIXES = (*EXPORTED, ".pth", ".pt", ".ckpt", ".th", ".safetensors", ".keras", ".h5", ".hdf5")
"""Suffixes of files that hold a model."""
CONFIGURATION = "config.json"
"""What says of a folder of Transformers, or of timm, which model it is."""
NO_ADDRESS = "is not fetched by its address: download it and give the file."
"""What follows an address that somebody gives for a file."""
_ELSEWHERE = re.compile(rb"\n\x08location\x12(?:([\0-\x7f])|([\x80-\xff])\x01)")
"""Where an ONNX file names a file with tensors, and the length of that name."""
_ADDRESS = re.compile(r"(https?|ftp):/+", re.IGNORECASE)


def is_address(source: object) -> bool:
    """Return whether something is named by an address of the web rather than by a path."""
    # A path made of an address has one slash less, and is refused with the same sentence.
    return _ADDRESS.match(str(source)) is not None


def sha256_of(path: Path) -> str:
    """Return the sha256 in hex of a file and its other parts, cached by their stamps."""
    return _digest(tuple((part, stamp(part)) for part in parts_of(path)))


@lru_cache(maxsize=1024)
def _digest(parts: tuple[tuple[Path, Stamp], ...]) -> str:
    digest = hashlib.sha256()
    for path, _ in parts:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def parts_of(path: Path) -> tuple[Path, ...]:
    """Return a model's file, and those beside it that hold its tensors: an ONNX file's data, the parts of an index."""
    return tuple(part for part in _parts_of(path, stamp(path)) if part == path or os.path.isfile(part))


@lru_cache(maxsize=1024)
def _parts_of(path: Path, at: Stamp) -> tuple[Path, ...]:
    names: dict[str, None] = {}
    # Somebody's file may hold anything.
    with contextlib.suppress(Exception):
        if path.name.endswith(".index.json"):
            names.update(dict.fromkeys(map(str, json.loads(path.read_bytes())["weight_map"].values())))
        elif path.suffix.lower() == ".onnx":
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for found in _ELSEWHERE.finditer(data):
                    names[os.fsdecode(data[found.end() : found.end() + (found[1] or found[2])[0]])] = None
    inside = (name for name in names if not os.path.isabs(name) and ".." not in Path(name).parts)
    return (path, *(path.parent / name for name in inside))


def download(url: str, to: Path, *, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """Download `url` to the file `to`: whole and checked, or not at all.

    `sha256`: the full hash or its beginning. Threads share one download of a file. Raises WeightsProblem, or the
    exception of `progress`, without leaving a partial file.
    """
    lock = _LOCKS.setdefault(to, threading.Lock())
    while not lock.acquire(timeout=0.1):
        if progress:
            progress(0, 0)
    try:
        if not (to.is_file() and (sha256 is None or sha256_of(to).startswith(sha256))):
            _stream(url, to, sha256, progress)
        return to
    finally:
        lock.release()


_LOCKS: dict[Path, threading.Lock] = {}
"""By the file: which thread downloads it, and others wait for."""


def _stream(url: str, to: Path, sha256: str | None, progress: Progress | None) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise WeightsProblem(f"{to.name} can only be downloaded over http or https, not from {url}.")
    digest = hashlib.sha256()
    reported = 0.0
    done = total = 0
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(to.parent)
        request = urllib.request.Request(url, headers={"User-Agent": "sightglass"})
        with atomic_write(to) as draft:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer, draft.open("wb") as file:
                total = int(answer.headers.get("Content-Length") or 0)
                while chunk := answer.read1(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    # A fast line brings a chunk every few milliseconds; a screen needs no more than ten a second.
                    if progress and (time.monotonic() - reported > 0.1 or done == total):
                        reported = time.monotonic()
                        progress(done, total)
            if total and done != total:
                raise WeightsProblem(f"{to.name} broke off after {done} of {total} bytes.")
            if sha256 and not digest.hexdigest().startswith(sha256):
                raise WeightsProblem(
                    f"{to.name} from {urlsplit(url).netloc} is not the file it should be "
                    f"(its sha256 begins with {digest.hexdigest()[:8]}, not {sha256[:8]})."
                )
    except Problem:
        raise
    # A redirect may lead to an invalid address.
    except (OSError, ValueError, http.client.HTTPException) as problem:
        LOGGER.info("download of %s failed", url, exc_info=True)
        reason = getattr(problem, "reason", None) or problem
        reason = getattr(reason, "strerror", None) or reason
        raise WeightsProblem(f"{to.name} could not be downloaded from {urlsplit(url).netloc} ({reason}).") from problem


def models_in(folder: Path) -> list[Path]:
    """Return the files of models in a folder, or the configured one."""
    if os.path.isfile(folder / CONFIGURATION):
        named = [folder / name for name in HUB_FILES if os.path.isfile(folder / name)]
        if named:
            return named[:1]
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def missing_folders() -> list[Path]:
    """Return the folders that `SIGHTGLASS_WEIGHTS` names and that are not there."""
    return [folder for folder in settings().weights if not os.path.isdir(folder)]


def cache() -> Path:
    """Return our own cache folder, where downloads go."""
    return _caches() / "sightglass"


FORBIDDEN = "SIGHTGLASS_OFFLINE forbids to download it"
_NO_DOWNLOADS: ContextVar[bool] = ContextVar("_NO_DOWNLOADS", default=False)


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """Forbid downloads while the context lasts: a stranger's request must not make this machine contact others."""
    token = _NO_DOWNLOADS.set(True)
    try:
        yield
    finally:
        _NO_DOWNLOADS.reset(token)


def offline() -> bool:
    """Return whether downloads are forbidden: by the operator (SIGHTGLASS_OFFLINE), or by `no_downloads`."""
    return _NO_DOWNLOADS.get() or settings().offline


def search_folders() -> tuple[Path, ...]:
    """Return every folder that is searched for a weights file by its name, in order."""
    torch_home = os.environ.get("TORCH_HOME")
    torch_hub = Path(torch_home).expanduser() if torch_home else _caches() / "torch"
    return (*settings().weights, torch_hub / "hub" / "checkpoints", cache())


def find(spec: ModelSpec) -> Path | None:
    """Return the model's weights on this machine, or None."""
    return next(_present(spec), None)


def locate(spec: ModelSpec, *, progress: Progress | None = None) -> Path:
    """Return the model's weights file, downloaded if necessary and checked against its known sha256."""
    path = find(spec)
    if path is not None:
        note_files(parts_of(path))
        expected = spec.weights.sha256
        # A table states the hash of the file alone.
        if expected and not (actual := _digest(((path, stamp(path)),))).startswith(expected):
            raise WeightsProblem(
                f"{path} is not the file it should be "
                f"(its sha256 begins with {actual[:8]}, not {expected[:8]}): delete it or replace it."
            )
        return path
    url, name = spec.weights.url, file_names(spec)[0]
    if spec.weights.hub:
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(spec.weights.hub, HUB_FILES[0])
    if url is None or offline():
        why = f"is not here and {FORBIDDEN}" if offline() else "is not here"
        raise WeightsProblem(f"{spec.weights.path or name}, the weights of {spec.id}, {why}: {_advice(spec)}")
    try:
        note_files([path := download(url, cache() / name, sha256=spec.weights.sha256, progress=progress)])
        return path
    except WeightsProblem as problem:
        raise WeightsProblem(f"{str(problem).rstrip('.')}: {_advice(spec)}") from problem


def _present(spec: ModelSpec) -> Iterator[Path]:
    """Yield the files of a model's weights on this machine, those that its table names first."""
    weights = spec.weights
    if weights.package and weights.file and (file := packaged.find_file(weights.package, weights.file)) is not None:
        yield file
    if weights.path:
        path = Path(weights.path)
        # Transformers' models are folders.
        yield from [path] if os.path.isdir(path) else _files([path])
    for folder in search_folders():
        yield from _files([folder / name for name in file_names(spec)])
    if weights.hub:
        yield from _in_hub(weights.hub)


def _files(paths: list[Path]) -> Iterator[Path]:
    # Not Path.is_file, which raises for an unreadable folder.
    return (path for path in paths if os.path.isfile(path))


def _in_hub(name: str) -> Iterator[Path]:
    """Yield Hugging Face snapshots of a model; without a tag, of all tags."""
    home = Path(os.environ.get("HF_HOME") or _caches() / "huggingface").expanduser()
    root = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    folder = "models--" + name.replace("/", "--")
    for repository in (root / folder, *sorted(root.glob(f"{folder}.*"))):
        for file in HUB_FILES:
            snapshots = repository.glob(f"snapshots/*/{file}")
            yield from sorted(snapshots, key=lambda path: path.stat().st_mtime, reverse=True)


def file_names(spec: ModelSpec) -> list[str]:
    """Return the possible names of the model's file in a folder; a download gets the first."""
    weights = spec.weights
    if weights.file:
        return [Path(weights.file).name]
    if weights.url:
        return [Path(unquote(urlsplit(weights.url).path)).name]
    if weights.hub:
        tagged = weights.hub.rpartition("/")[2]
        # The tag says which training; a file without one is the operator's own choice.
        stems = dict.fromkeys((tagged, tagged.partition(".")[0]))
        return [stem + extension for stem in stems for extension in (".safetensors", ".pth", ".pt", ".bin")]
    return [Path(weights.path).name] if weights.path else [spec.arch]


def _advice(spec: ModelSpec) -> str:
    if spec.weights.package:
        return f"install the package {spec.weights.package.replace('_', '-')}."
    folders = ", ".join(map(str, search_folders()))
    name = file_names(spec)[0]
    return f"put {name} into one of the folders searched ({folders}), or name its folder in SIGHTGLASS_WEIGHTS."


def _caches() -> Path:
    # Not Path.expanduser: that raises where a container's user has no home.
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))
