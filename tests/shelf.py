"""A storage for tests that other processes see, too: files below a folder, to which only its address leads."""

from __future__ import annotations

from fsspec.implementations.local import LocalFileSystem


class Shelf(LocalFileSystem):
    """`shelf:///folder/picture.png`."""

    protocol = "shelf"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(str(path).removeprefix("shelf://"))
