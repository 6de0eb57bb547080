"""Download files within limits: by an https address, or from a repository of Hugging Face."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
import urllib.request
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sightglass.common import access
from sightglass.common.errors import WeightsProblem
from sightglass.common.files import file_stem
from sightglass.models.checkpoints import weights
from sightglass.models.checkpoints.weights import cache, download, offline

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.models.adapter import Progress

SCHEMES = ("https",)
MAX_MODEL_BYTES = 4 * 2**30
MAX_NAME, MAX_SUFFIX = 80, 12
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):/+", re.IGNORECASE)


def is_address(source: object) -> bool:
    """Return whether something is named by an address of the web rather than by a path."""
    # A path made of an address has one slash less, and is refused with the same sentence.
    return bool((found := _ADDRESS.match(str(source))) and found[1].lower() in ("http", "https", "ftp"))


def fetch(address: str, max_bytes: int, progress: Progress | None = None) -> Path:
    """Return the file behind an address, from the cache or downloaded to it.

    Raises WeightsProblem, one sentence, for an address without https or redirected elsewhere, for a file above
    `max_bytes`, and if downloads are off.
    """
    name = name_of(address)
    if not address.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)) or "@" in urlsplit(address).netloc:
        raise WeightsProblem(f"{name} is not fetched from that address: give one that begins with https://, or a file.")
    to = cache() / "fetched" / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    if to.is_file():
        return to
    if offline():
        raise WeightsProblem(f"{name} is not fetched while downloads are forbidden: download it and give the file.")
    opener = urllib.request.build_opener(_Redirects(private=_is_private(urlsplit(address).hostname)))
    return download(address, to, progress=progress, opener=opener.open, max_bytes=max_bytes)


def name_of(address: str) -> str:
    """Return the name of the file that an address names, safe for any folder."""
    last = unquote(urlsplit(address).path).rpartition("/")[2]
    path = PurePosixPath(file_stem(last, keep=".", otherwise="file").strip(".") or "file")
    return path.stem[:MAX_NAME] + path.suffix[:MAX_SUFFIX]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow a redirect only to https, and from a public address only to public ones."""

    def __init__(self, *, private: bool) -> None:
        self._private = private

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        to = urlsplit(newurl)
        if to.scheme not in SCHEMES or (not self._private and _is_private(to.hostname)):
            raise WeightsProblem(
                f"{urlsplit(req.full_url).hostname} redirects {name_of(req.full_url)} to an address that is not public "
                "https: download it and give the file."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_private(host: str | None) -> bool:
    """Return whether a host is this machine or in its own network; False where it is not known."""
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_global for address in found)


_NAME = re.compile(r"(?:hf-hub:)?([\w.-]{1,96}/[\w.-]{1,96})")
CONFIGURATION = ("config.json", "preprocessor_config.json", "processor_config.json", "open_clip_config.json")
TENSORS = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")
"""Files of weights that a repository may have, the one to take first."""
MORE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt")


def check_name(name: str) -> None:
    """Raise WeightsProblem, one sentence, for what is neither an https address nor a name on Hugging Face, where
    downloads are off, and on servers that fetch nothing for their visitors."""
    if not is_address(name) and not _NAME.fullmatch(name):
        raise WeightsProblem(f"{name[:80]} is no address: give one with https://, or owner/name on Hugging Face.")
    if weights.offline():
        raise WeightsProblem(f"{name[:80]} is not fetched: {weights.FORBIDDEN}. Drop its file instead.")
    # A server may reach what its visitors cannot.
    if not access.may_fetch():
        raise WeightsProblem("This server fetches no addresses (SIGHTGLASS_FETCH): download the file and drop it.")


def fetch_model(name: str, progress: Progress | None = None) -> list[Path]:
    """Return the files of a model, from the cache or downloaded to it; `progress` is called with (bytes done, total).

    Raises WeightsProblem as `check_name` does, and where there is no such model or the line fails.
    """
    check_name(name)
    if is_address(name):
        return [fetch(name, MAX_MODEL_BYTES, progress)]
    from huggingface_hub import constants, hf_hub_url

    found = _NAME.fullmatch(name)
    assert found is not None
    name = found[1]
    listed = {str(one.get("rfilename")) for one in _ask(f"{constants.ENDPOINT}/api/models/{name}").get("siblings", ())}
    tensors = next((file for file in TENSORS if file in listed), None)
    if tensors is None or not listed & {*CONFIGURATION}:
        raise WeightsProblem(f"{name} on Hugging Face has no weights with a config.json: download the file you mean.")
    folder = weights.cache() / "hub" / name.replace("/", "--")
    return [
        weights.download(hf_hub_url(name, file), folder / file, progress=progress, max_bytes=MAX_MODEL_BYTES)
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
