"""Write the pictures that are packaged: `python -m training.demo`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightglass.models.demo import pictures
from sightglass.video.draw import encode
from training.demo import captioned_scenes, person_scenes, scenes, showcase

SECONDS, RATE = 6.0, 15
"""Of the clip: frames per second."""
FIRST_SCENE = 900_000
"""Seed of the first scene that a map is tested against: those of benchmarks are others."""
REFERENCES = (0, 1, 2, 4)
"""Seeds of the first scenes of four classes."""
EXAMPLE = 6
"""The person of the default picture."""
COMPARED = [*((EXAMPLE, i) for i in (1, 2)), (person_scenes.twin(EXAMPLE), 1)]
COMPARED += [(person_scenes.HELD_OUT + 2 * i, 0) for i in range(4)]
"""Persons and numbers of pictures to compare it with: itself, the twin, four others."""


def draw(name: str) -> list[NDArray[np.uint8]]:
    """Draw the pictures of a name in `pictures.DRAWN` or `pictures.SETS`."""
    if name in pictures.SCENES:
        return [scenes.draw(showcase.scene(name)).pixels]
    if name == pictures.CAPTIONED:
        return [captioned_scenes.draw(captioned_scenes.example(), showcase.SIDE).pixels]
    if name == "captioned":
        return [captioned_scenes.draw(captioned_scenes.sample(i, held_out=True)).pixels for i in range(28)]
    if name in ("person", "persons", "compared"):
        places = {"person": [(EXAMPLE, 0)], "compared": COMPARED}.get(name, [(2 * i, 0) for i in range(28)])
        specs = [person_scenes.sample(*place, held_out=True) for place in places]
        return [person_scenes.draw(spec).pixels for spec in specs]
    task = "detect" if name == "detect" else "classify"
    seeds = REFERENCES if name == "references" else range(FIRST_SCENE, FIRST_SCENE + 28)
    return [scenes.draw(scenes.sample(seed, task=task, held_out=True)).pixels for seed in seeds]


def main() -> None:
    """Write every file."""
    pictures.FOLDER.mkdir(exist_ok=True)
    for name in (*pictures.DRAWN, *pictures.SETS):
        whole = Image.fromarray(np.concatenate(draw(name)))
        whole.save(pictures.path_of(name), lossless=True, quality=100, method=6)
    count = round(SECONDS * RATE)
    frames = (scenes.draw(showcase.moving(i / count)).pixels for i in range(count))
    encode(pictures.CLIP, enumerate(frames), Fraction(1, RATE), Fraction(RATE))


if __name__ == "__main__":
    main()
