"""Fetch a model by address, or from Hugging Face."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

from sightglass.common import access
from sightglass.common.errors import WeightsProblem
from sightglass.models.checkpoints import remote_file, weights

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.models.adapter import Progress

_NAME = re.compile(r"(?:hf-hub:)?([\w.-]{1,96}/[\w.-]{1,96})")
CONFIGURATION = ("config.json", "preprocessor_config.json", "processor_config.json", "open_clip_config.json")
TENSORS = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")
"""Files of weights that a repository may have, the one to take first."""
MORE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt")


def check(name: str) -> None:
    """Raise WeightsProblem, one sentence, for what is neither an https address nor a name on Hugging Face, where
    downloads are off, and on servers that fetch nothing for their visitors."""
    if not remote_file.is_address(name) and not _NAME.fullmatch(name):
        raise WeightsProblem(f"{name[:80]} is no address: give one with https://, or owner/name on Hugging Face.")
    if weights.offline():
        raise WeightsProblem(f"{name[:80]} is not fetched: {weights.FORBIDDEN}. Drop its file instead.")
    # A server may reach what its visitors cannot.
    if not access.may_fetch():
        raise WeightsProblem("This server fetches no addresses (SIGHTGLASS_FETCH): download the file and drop it.")


def fetch(name: str, progress: Progress | None = None) -> list[Path]:
    """Return the files of a model, from the cache or downloaded to it; `progress` is called with (bytes done, total).

    Raises WeightsProblem as `check` does, and where there is no such model or the line fails.
    """
    check(name)
    if remote_file.is_address(name):
        return [remote_file.fetch(name, remote_file.MAX_MODEL_BYTES, progress)]
    found = _NAME.fullmatch(name)
    assert found is not None
    return _from_hub(found[1], progress)


def _from_hub(name: str, progress: Progress | None) -> list[Path]:
    from huggingface_hub import constants, hf_hub_url

    listed = {str(one.get("rfilename")) for one in _ask(f"{constants.ENDPOINT}/api/models/{name}").get("siblings", ())}
    tensors = next((file for file in TENSORS if file in listed), None)
    if tensors is None or not listed & {*CONFIGURATION}:
        raise WeightsProblem(f"{name} on Hugging Face has no weights with a config.json: download the file you mean.")
    folder = weights.cache() / "hub" / name.replace("/", "--")
    return [
        weights.download(
            hf_hub_url(name, file), folder / file, progress=progress, max_bytes=remote_file.MAX_MODEL_BYTES
        )
        for file in (*CONFIGURATION, *MORE, tensors)
        if file in listed
    ]


def _ask(address: str) -> dict[str, Any]:
    name = address.partition("/api/models/")[2]
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "sightglass"})
        with urllib.request.urlopen(request, timeout=weights.TIMEOUT_S) as answer:
            found = json.loads(answer.read(2**22))
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", None) or problem
        raise WeightsProblem(f"{name} was not found on Hugging Face ({reason}): check its name.") from problem
    return found if isinstance(found, dict) else {}
