"""Many pictures at once: from a folder, a list or an archive to files and one table.

    from explain.batch import run
    summary = run("pictures/", "efficientnet-lite0", "out/")

Importing this package is free; torch comes in with the first run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explain.batch.runner import Summary as Summary
    from explain.batch.runner import run as run

__all__ = ["Summary", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'explain.batch' has no attribute {name!r}")
    return getattr(import_module("explain.batch.runner"), name)
