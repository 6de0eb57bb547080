"""Bundled pictures: photographs, and drawn scenes such as the demo models were trained on."""

from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightglass.common import packaged
from sightglass.common.errors import ImageProblem

CLASSES = (
    *("rod-ring", "rod-cross", "plate-square", "plate-triangle", "ball-stripes", "ball-dots"),
    *("moon-inside", "moon-outside", "star", "gear"),
)
TASKS = MappingProxyType({"detect": 192, "classify": 128, "segment": 192, "regress": 128})
"""And the side of their pictures, pixels."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SHAPES = ("star", "ball", "ring", "cross", "square", "triangle", "heart", "moon")
SYNONYMS = MappingProxyType(
    {
        "ball": ("ball", "circle", "disc"),
        "ring": ("ring", "hoop"),
        "cross": ("cross", "plus"),
        "square": ("square", "box"),
        "moon": ("moon", "crescent"),
        "purple": ("purple", "violet"),
    }
)
CAPTIONED_SIDE = 96
"""Side in pixels of the scenes of named colours and shapes."""

SCENES = ("scene 1", "scene 2", "scene 3", "one thing", "a rod", "stamped")
"""Names of the drawn examples, none of which was seen in training; one has the stamp that demo-cls-cheat goes by."""
CAPTIONED, PERSON = "red star", "person"
DRAWN = (*SCENES, CAPTIONED, PERSON)
EXAMPLES = (*packaged.PHOTOGRAPHS, *DRAWN)
"""Names of all bundled pictures."""

FOLDER = Path(__file__).parent / "drawn"
"""Written by `python -m training.demo`."""
CLIP = FOLDER / "scene.mp4"
SETS = MappingProxyType({"detect": 28, "classify": 28, "captioned": 28, "persons": 28, "references": 4, "compared": 7})
"""Files of several pictures below each other, and how many.

The first four are of one kind of model each. `references` are four classes. `compared` are to be compared with
`person`: the same person twice, a near-identical one, and four others.
"""


GRID = 16
"""Cells of either side to which pictures are reduced to be compared."""
ALIKE = 15.0
"""Mean difference of such cells, 0..255, below which a picture is a drawn one. These differ by at most 12 once halved
and saved as JPEG of quality 75, the nearest of 29 photographs by 24."""


def path_of(name: str) -> Path:
    """Return the file of a name in `DRAWN` or `SETS`."""
    return FOLDER / f"{name.replace(' ', '-')}.webp"


def pictures(name: str) -> list[NDArray[np.uint8]]:
    """Return the drawn pictures of a name in `DRAWN` or `SETS`, uint8 (H, W, 3) RGB."""
    with Image.open(path_of(name)) as file:
        return np.split(np.array(file), SETS.get(name, 1))


def is_scene(pixels: NDArray[np.uint8]) -> bool:
    """Return whether pixels (H, W, 3) are a drawn picture's or frame's, perhaps scaled or saved anew."""
    coarse = _coarse(pixels)
    height, width = pixels.shape[:2]
    # The clip is square, and takes longer to read than a picture to explain.
    return _is_among(coarse, _coarse_scenes()) or (height == width and _is_among(coarse, _coarse_frames()))


def _is_among(coarse: NDArray[np.float32], known: NDArray[np.float32]) -> bool:
    return bool(np.abs(known - coarse).mean((1, 2, 3)).min(initial=255.0) < ALIKE)


@cache
def _coarse_scenes() -> NDArray[np.float32]:
    return np.stack([_coarse(pixels) for name in (*DRAWN, *SETS) for pixels in pictures(name)])


@cache
def _coarse_frames() -> NDArray[np.float32]:
    import cv2

    clip = cv2.VideoCapture(str(CLIP))
    # Its frames come as BGR; there are none where OpenCV lacks the decoder.
    frames = [_coarse(np.asarray(frame[..., ::-1], np.uint8)) for _, frame in iter(clip.read, (False, None))]
    return np.array(frames, np.float32).reshape(-1, GRID, GRID, 3)


def _coarse(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = Image.fromarray(pixels).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def example_source(name: str) -> tuple[Path | NDArray[np.uint8], str]:
    """Return an example's source for `Image.open`, and its file name; raise ImageProblem as `example_file` does."""
    path, file_name = example_file(name)
    return pictures(name)[0] if name in DRAWN else path, file_name


def example_file(name: str) -> tuple[Path, str]:
    """Return an example's path, and its file name: a drawn one is saved as PNG.

    The package that a photograph comes with is not imported. Raises ImageProblem where it is not installed.
    """
    if name in DRAWN:
        return path_of(name), f"{name}.png"
    if (path := packaged.photograph(name)) is None:
        package, _ = packaged.PHOTOGRAPHS[name]
        raise ImageProblem(f"The example {name} comes with {package}, which is not installed: choose another picture.")
    return path, path.name


def example_named(file_name: str) -> str | None:
    """Return the example whose picture has this file name."""
    if (stem := file_name.removesuffix(".png")) != file_name and stem in DRAWN:
        return stem
    return next((name for name, (_, part) in packaged.PHOTOGRAPHS.items() if Path(part).name == file_name), None)
