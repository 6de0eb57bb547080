"""Make the pictures at the top of the docs' pages: `python docs/draw_pictures.py` writes docs/images/*.webp.

Each is what the calls below it on its page write, from pictures that come with Sightglass; names choose some of them.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

IMAGES = ROOT / "docs" / "images"
PAGES = {
    "clip": "explained/red-star/topk_comparison.jpg",
    "detectors": "explained/scene-3/topk_comparison.jpg",
    "exports": "explained/flower/gradcam_prediction.png",
    "folders": "run/maps/**/*.jpg",
    "proof": "explained/bus/proof.png",
    "similarity": "explained/bus_and_zidane/similarity.jpg",
    "trust": "explained/bus/gradcam_prediction.png",
    "video": "explained/photographs/overlay.mp4",
}
"""The file that the page of each name shows; of several, all beside one another."""
SIZE = (800, 480)
"""The longest sides, in pixels."""
MOST = 40_000
"""Bytes of each."""


def main(names: list[str]) -> None:
    for name in names or PAGES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            for call in calls((ROOT / "docs" / f"{name}.md").read_text("utf-8")):
                run(call)
            picture = beside([read(path) for path in sorted(Path().glob(PAGES[name]))[:5]])
            os.chdir(ROOT)
        save(picture, IMAGES / f"{name}.webp")


def calls(page: str) -> list[str]:
    """Return the calls of the page's first block, which stands below its picture."""
    found = re.search(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line.removeprefix("$ sightglass ") for line in found[1].splitlines() if line.startswith("$ sightglass ")]


def run(call: str) -> None:
    from sightglass.cli import main

    if code := main(shlex.split(call)):
        raise SystemExit(f"sightglass {call} ended with {code}.")


def read(path: Path) -> Image.Image:
    """Return a picture, or the middle frame of a clip."""
    if path.suffix != ".mp4":
        return Image.open(path).convert("RGB")
    import av

    with av.open(str(path)) as clip:
        frames = [frame.to_image() for frame in clip.decode(video=0)]
    return frames[len(frames) // 3]


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Return pictures in a row, equally high."""
    height = min(picture.height for picture in pictures)
    row = [picture.resize((round(picture.width * height / picture.height), height)) for picture in pictures]
    whole = Image.new("RGB", (sum(picture.width for picture in row), height))
    for number, picture in enumerate(row):
        whole.paste(picture, (sum(before.width for before in row[:number]), 0))
    return whole


def save(picture: Image.Image, path: Path) -> None:
    """Write a WebP of at most `MOST` bytes."""
    picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
    for quality in range(85, 20, -5):
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST:
            return
    raise SystemExit(f"{path.name} has more than {MOST:,} bytes at any quality: show less.")


if __name__ == "__main__":
    main(sys.argv[1:])
