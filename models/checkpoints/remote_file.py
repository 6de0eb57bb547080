"""Download files within limits: by an https address, or from a repository of Hugging Face."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
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
from sightglass.common.settings import settings
from sightglass.models.checkpoints import weights
from sightglass.models.checkpoints.weights import cache, download, offline

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.models.adapter import Progress

SCHEMES = ("https",)
MAX_MODEL_BYTES, MAX_FETCHED_BYTES = 4 * 2**30, 16 * 2**30
"""Of one file, and of all that stay in the cache."""
MAX_NAME, MAX_SUFFIX = 80, 12
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):/+", re.IGNORECASE)


def is_address(source: object) -> bool:
    """Return whether something is named by an address of the web rather than by a path."""
    # A path made of an address has one slash less, and is refused with the same sentence.
    return bool((match := _ADDRESS.match(str(source))) and match[1].lower() in ("http", "https", "ftp"))


def fetch(address: str, max_bytes: int, progress: Progress | None = None) -> Path:
    """Return the file behind an address, from the cache or downloaded to it.

    Raises WeightsProblem, one sentence, for an address without https or redirected elsewhere, for a file above
    `max_bytes`, and if downloads are off.
    """
    try:
        name, host = name_of(address), urlsplit(address).netloc
    except ValueError as problem:
        raise WeightsProblem(f"{address[:80]} is no address: copy it again, or give a file.") from problem
    if not address.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)) or "@" in host:
        raise WeightsProblem(f"{name} is not fetched from that address: give one that begins with https://, or a file.")
    to = cache() / "fetched" / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    if to.is_file():
        return to
    if offline():
        raise WeightsProblem(f"{name} is not fetched while downloads are forbidden: download it and give the file.")
    _remove_oldest()
    connections = _Connections()
    opener = urllib.request.build_opener(connections).open
    try:
        return download(address, to, progress=progress, opener=opener, max_bytes=max_bytes, stop=connections.stop)
    finally:
        connections.stop()


def name_of(address: str) -> str:
    """Return the name of the file that an address names, safe for any folder."""
    last = unquote(urlsplit(address).path).rpartition("/")[2]
    path = PurePosixPath(file_stem(last, keep=".", otherwise="file").strip(".") or "file")
    return path.stem[:MAX_NAME] + path.suffix[:MAX_SUFFIX]


def _remove_oldest() -> None:
    """Delete the files that were fetched longest ago, above `MAX_FETCHED_BYTES` together."""
    files = [file for name in ("fetched", "hub") for file in (cache() / name).rglob("*") if file.is_file()]
    # Another process may delete them too.
    with contextlib.suppress(OSError):
        total = sum(file.stat().st_size for file in files)
        for file in sorted(files, key=lambda file: file.stat().st_mtime):
            if total <= MAX_FETCHED_BYTES:
                break
            total -= file.stat().st_size
            file.unlink()


def _refuse(address: str) -> WeightsProblem:
    host, name = urlsplit(address).hostname, name_of(address)
    return WeightsProblem(
        f"{host} redirects {name} to an address that is not public https: download it and give the file."
    )


class _Connections(urllib.request.HTTPRedirectHandler, urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Resolve hosts once, and restrict redirects to https and public addresses."""

    _first, _private = "", False
    _stopped = False
    _socket: socket.socket | None = None

    def stop(self) -> None:
        """Break the connection off, and open no other."""
        self._stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in SCHEMES:
            raise _refuse(req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def https_open(self, req: urllib.request.Request) -> Any:
        return self._open(http.client.HTTPSConnection, req)

    def http_open(self, req: urllib.request.Request) -> Any:
        return self._open(http.client.HTTPConnection, req)

    def _open(self, kind: Any, req: urllib.request.Request) -> Any:
        def connect(place: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
            addresses = [entry[4][0] for entry in socket.getaddrinfo(*place, type=socket.SOCK_STREAM)]
            private = any(is_private(str(address)) for address in addresses)
            if not self._first:
                self._first, self._private = req.full_url, private
            elif private and not self._private:
                raise _refuse(self._first)
            problem = OSError("no address")
            for address in addresses:
                if self._stopped:
                    break
                try:
                    # The checked address, as a second look-up may differ.
                    connection = socket.create_connection((str(address), place[1]), timeout, source)
                except OSError as error:
                    problem = error
                else:
                    if self._socket is not None:
                        self._socket.close()
                    # TLS replaces the socket.
                    self._socket = connection.dup()
                    return connection
            raise problem

        def connection(host: str, **options: Any) -> Any:
            http_connection = kind(host, **options)
            http_connection._create_connection = connect
            return http_connection

        return self.do_open(connection, req)


_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96")))
"""Addresses that end in one of IPv4."""


def is_private(text: str) -> bool:
    """Return whether an address belongs to a private network, mapped IPv4 included.

    >>> [is_private(text) for text in ("127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fec0::1", "2001:4860::1")]
    [True, True, True, True, False]
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inside = any(address in network for network in _EMBEDDING)
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if inside else address.sixtofour
        if inner is None:
            return address.is_site_local or not address.is_global
        address = inner
    return not address.is_global


_NAME = re.compile(r"(?:hf-hub:)?([\w.-]{1,96}/[\w.-]{1,96})")
CONFIGURATION = ("config.json", "preprocessor_config.json", "processor_config.json")
TENSORS = ("model.safetensors", "pytorch_model.bin")
"""Files of weights that a repository may have, the one to take first."""
MORE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt")


def check_name(name: str) -> None:
    """Raise WeightsProblem for a name this server does not download."""
    if not is_address(name) and not _NAME.fullmatch(name):
        raise WeightsProblem(f"{name[:80]} is no address: give one with https://, or owner/name on Hugging Face.")
    if weights.offline():
        raise WeightsProblem(f"{name[:80]} is not fetched: {weights.FORBIDDEN}. Drop its file instead.")
    # A server may reach hosts hidden from its visitors.
    if not access.may_fetch():
        raise WeightsProblem("This server fetches no addresses (SIGHTGLASS_FETCH): download the file and drop it.")


def fetch_model(name: str, progress: Progress | None = None) -> list[Path]:
    """Return a model's files from the cache or a download.

    `progress` is called with (bytes done, total). Raises WeightsProblem as `check_name` does, and for an unknown model
    or a lost connection.
    """
    check_name(name)
    most = int(min(MAX_MODEL_BYTES, settings().own_models_mb * 1e6))
    if is_address(name):
        return [fetch(name, most, progress)]
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
