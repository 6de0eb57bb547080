"""Bundled pictures: photographs and drawn scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packaged
from sightglass.models.demo import captioned_scenes, person_scenes
from sightglass.models.demo.scenes import draw
from sightglass.models.demo.showcase import SCENES, SIDE, scene

if TYPE_CHECKING:
    from sightglass.explain.picture.decode import Pixels

EXAMPLES = (*packaged.PHOTOGRAPHS, *SCENES, captioned_scenes.EXAMPLE, person_scenes.EXAMPLE)
"""Names of all of them."""


def example_source(name: str) -> tuple[Path | Pixels, str]:
    """Return what `Image.open` takes of an example, a file or uint8 (H, W, 3) RGB, and its file name.

    The package that a photograph comes with is not imported. Raises ImageProblem where it is not installed.
    """
    if name in SCENES:
        return draw(scene(name)).pixels, f"{name}.png"
    if name == captioned_scenes.EXAMPLE:
        return captioned_scenes.draw(captioned_scenes.example(), SIDE).pixels, f"{name}.png"
    if name == person_scenes.EXAMPLE:
        return person_scenes.draw(person_scenes.example()).pixels, f"{name}.png"
    if (path := packaged.photograph(name)) is None:
        package, _ = packaged.PHOTOGRAPHS[name]
        raise ImageProblem(f"The example {name} comes with {package}, which is not installed: choose another picture.")
    return path, path.name


def example_named(file_name: str) -> str | None:
    """Return the example whose picture has this file name."""
    if (stem := file_name.removesuffix(".png")) != file_name and stem in EXAMPLES and stem not in packaged.PHOTOGRAPHS:
        return stem
    return next((name for name, (_, part) in packaged.PHOTOGRAPHS.items() if Path(part).name == file_name), None)
