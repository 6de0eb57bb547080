"""Make the view of a clip."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.explain.phrases import megabytes
from sightglass.explain.picture.image import Image
from sightglass.report.view import MAX_MADE, Picture
from sightglass.report.views import new_view, statement
from sightglass.video import clip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sightglass.report.view import View

MAX_CLIP = 100_000_000
"""Bytes of a slide's clip: the whole deck is sent to the browser."""


def clip_view(
    path: Path, *, title: str, sentence: str, notes: str = "", made: str = "", moments: Sequence[str] = ()
) -> View:
    """Return the view of a clip, an H.264 MP4 as `sightglass.video` writes it, with its first frame.

    `moments`: when it says what, `0:02 sports car`; the first three stand beside the player.

    Raises Problem for a clip of more than MAX_CLIP bytes, or one that cannot be read.
    """
    if (size := path.stat().st_size) > MAX_CLIP:
        raise Problem(f"This clip has {megabytes(size)}, and a slide takes {megabytes(MAX_CLIP)}: draw a part of it.")
    first = clip.Clip(path).at(0)
    if first is None:
        raise Problem("This clip has no frame that can be shown: draw it again.")
    view = new_view(
        [Picture.of(Image(first.pixels, path.name), path.name)],
        title=statement(title, title.partition(",")[0]),
        sentence=sentence,
        notes=notes,
        kind="clip",
        facts=tuple(moments[:3]),
        made=made[:MAX_MADE],
    )
    return replace(view, clip=path.read_bytes())
