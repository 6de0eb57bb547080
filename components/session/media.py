"""Give the files that pages show addresses that nobody can work out."""

from __future__ import annotations

import hashlib
import secrets

from streamlit.runtime import memory_media_file_storage

_KEY = secrets.token_bytes(32)


def install() -> None:
    """Address each file by all of its bytes and a key of this process.

    Streamlit's own addresses are a plain hash, and of files of more than 1 MiB one of three small parts: of two that
    differ elsewhere, such as raw maps with the same margins, it would show everybody the first.
    """
    memory_media_file_storage._calculate_file_id = _file_id


def _file_id(data: bytes, mimetype: str, filename: str | None = None) -> str:
    digest = hashlib.blake2b(repr((mimetype, filename)).encode("utf-8", "surrogatepass"), digest_size=28, key=_KEY)
    digest.update(data)
    return digest.hexdigest()
