"""Download a model of a repository on Hugging Face, within limits."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

from sightglass.common import access
from sightglass.common.errors import WeightsProblem
from sightglass.common.settings import settings
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.models.adapter import Progress

MAX_MODEL_BYTES, MAX_FETCHED_BYTES = 4 * 2**30, 16 * 2**30
"""Of one file, and of all that stay in the cache."""
INSTEAD = "is not fetched by its address: download it and give the file."
"""What follows an address that somebody gives for a file."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):/+", re.IGNORECASE)


def is_address(source: object) -> bool:
    """Return whether something is named by an address of the web rather than by a path."""
    # A path made of an address has one slash less, and is refused with the same sentence.
    return bool((match := _ADDRESS.match(str(source))) and match[1].lower() in ("http", "https", "ftp"))


def _remove_oldest() -> None:
    """Delete the files that were downloaded longest ago, above `MAX_FETCHED_BYTES` together."""
    files = [file for name in ("fetched", "hub") for file in (weights.cache() / name).rglob("*") if file.is_file()]
    # Another process may delete them too.
    with contextlib.suppress(OSError):
        total = sum(file.stat().st_size for file in files)
        for file in sorted(files, key=lambda file: file.stat().st_mtime):
            if total <= MAX_FETCHED_BYTES:
                break
            total -= file.stat().st_size
            file.unlink()


_NAME = re.compile(r"(?:hf-hub:)?([\w.-]{1,96}/[\w.-]{1,96})")
CONFIGURATION = ("config.json", "preprocessor_config.json", "processor_config.json")
TENSORS = ("model.safetensors", "pytorch_model.bin")
"""Files of weights that a repository may have, the one to take first."""
MORE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt")


def check_name(name: str) -> None:
    """Raise WeightsProblem for a name this server does not download."""
    if is_address(name):
        raise WeightsProblem(f"{name[:80]} {INSTEAD}")
    if not _NAME.fullmatch(name):
        raise WeightsProblem(f"{name[:80]} is no name on Hugging Face: give owner/name.")
    if weights.offline():
        raise WeightsProblem(f"{name[:80]} is not fetched: {weights.FORBIDDEN}. Drop its file instead.")
    # A server may reach hosts hidden from its visitors.
    if not access.may_fetch():
        raise WeightsProblem("This server fetches no models (SIGHTGLASS_FETCH): download the file and drop it.")


def fetch_model(name: str, progress: Progress | None = None) -> list[Path]:
    """Return a model's files from the cache or a download.

    `progress` is called with (bytes done, total). Raises WeightsProblem as `check_name` does, and for an unknown model
    or a lost connection.
    """
    check_name(name)
    most = int(min(MAX_MODEL_BYTES, settings().own_models_mb * 1e6))
    from huggingface_hub import constants, hf_hub_url

    match = _NAME.fullmatch(name)
    assert match is not None
    name = match[1]
    listing = _ask(f"{constants.ENDPOINT}/api/models/{name}")
    listed = {str(file.get("rfilename")) for file in listing.get("siblings", ())}
    tensors = next((file for file in TENSORS if file in listed), None)
    if tensors is None or not listed & {*CONFIGURATION}:
        raise WeightsProblem(f"{name} on Hugging Face has no weights with a config.json: download the file you mean.")
    _remove_oldest()
    folder = weights.cache() / "hub" / name.replace("/", "--")
    return [
        weights.download(hf_hub_url(name, file), folder / file, progress=progress, max_bytes=most)
        for file in (*CONFIGURATION, *MORE, tensors)
        if file in listed
    ]


def _ask(address: str) -> dict[str, Any]:
    name = address.partition("/api/models/")[2]
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "sightglass"})
        with urllib.request.urlopen(request, timeout=weights.TIMEOUT_S) as answer:
            listing = json.loads(answer.read(2**22))
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", None) or problem
        raise WeightsProblem(f"{name} was not found on Hugging Face ({reason}): check its name.") from problem
    return listing if isinstance(listing, dict) else {}
