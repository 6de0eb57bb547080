"""Limit the folders that screens may read to those that the operator named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ModelProblem
from common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def folders() -> list[Path]:
    """The folders that may be read, as `SIGHTGLASS_FOLDERS` names them."""
    return [folder.resolve() for folder in settings().folders]


def permitted(text: str, allowed: Sequence[Path]) -> tuple[Path, Path]:
    """The path that was asked for and the named folder it lies in; raises ModelProblem for any other."""
    for root in allowed:
        try:
            path = Path(os.path.normpath(root / Path(text).expanduser()))
            # A link must not lead out either; of a pattern, what comes before its first star counts.
            fixed = Path(str(path).split("*")[0].split("?")[0].split("[")[0])
            real = fixed.resolve()
        except (OSError, ValueError, RuntimeError):
            break
        if real == root or root in real.parents:
            return path, root
    raise ModelProblem(f"That is not below {' or '.join(map(str, allowed))}: only these folders may be read here.")
