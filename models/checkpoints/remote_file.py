"""Download a file by an https address, within limits.

An address is what a person typed on the command line or in Python, so it may be of their own network; a redirect from
a public address to a private one is refused, because nobody asked for that. Requests to the API never lead here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
import urllib.request
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sightglass.common.errors import WeightsProblem
from sightglass.common.files import file_stem
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
