"""Bundled pictures: photographs and drawn scenes."""

from __future__ import annotations

import os
from pathlib import Path

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packaged
from sightglass.explain.picture.image import Image
from sightglass.models.demo import captioned_scenes, person_scenes
from sightglass.models.demo.scenes import draw
from sightglass.models.demo.showcase import SCENES, SIDE, scene

EXAMPLES = (*packaged.PHOTOGRAPHS, *SCENES, captioned_scenes.EXAMPLE, person_scenes.EXAMPLE)
"""Names of all of them."""


def load_bundled(name: str) -> Image:
    """Return a bundled photograph, whose package is not imported, or a drawn scene.

    Raises ImageProblem where the package of a photograph is not installed.
    """
    if name in SCENES:
        return Image.open(draw(scene(name)).pixels, name=f"{name}.png")
    if name == captioned_scenes.EXAMPLE:
        return Image.open(captioned_scenes.draw(captioned_scenes.example(), SIDE).pixels, name=f"{name}.png")
    if name == person_scenes.EXAMPLE:
        return Image.open(person_scenes.draw(person_scenes.example()).pixels, name=f"{name}.png")
    if (path := packaged.photograph(name)) is None:
        package, _ = packaged.PHOTOGRAPHS[name]
        raise ImageProblem(f"The example {name} comes with {package}, which is not installed: choose another picture.")
    return Image.open(path)


def example_named(file_name: str) -> str | None:
    """Return the example whose picture has this file name."""
    if (stem := file_name.removesuffix(".png")) != file_name and stem in EXAMPLES and stem not in packaged.PHOTOGRAPHS:
        return stem
    return next((name for name, (_, part) in packaged.PHOTOGRAPHS.items() if Path(part).name == file_name), None)


def example_meant(typed: str) -> str | None:
    """Return the example that a picture's argument names (`bus.jpg`, `scene-3.png`); None for any file that is there.

    Only bare names stand for examples: in a path, a file was meant that is missing.
    """
    if os.path.basename(typed) != typed or os.path.exists(typed):
        return None
    return example_named(typed) or example_named(typed.replace("-", " "))
