"""Make the pictures at the top of the docs' pages.

`python docs/draw_pictures.py` writes docs/images/*.webp; names choose some of them. Each is what the blocks of its page
write, from pictures that come with Sightglass, or what a page of the dashboard shows.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests import examples  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PAGES = {
    "channels": "explained/field/gradcam_prediction.png",
    "clip": "explained/red-star/topk_comparison.jpg",
    "demo": "*/top_predictions/*.png",
    "detectors": "explained/scene-3/topk_comparison.jpg",
    "exported": "explained/bus/gradcam_prediction.png",
    "exports": "explained/flower/gradcam_prediction.png",
    "folders": "run/maps/**/*.jpg",
    "keras": "explained/ladder/gradcam_prediction.png",
    "methods": "by-*/top_predictions/*.png",
    "notebook": "card.html",
    "numbers": "*/a-rod/*_prediction.png",
    "present": "deck.html",
    "proof": "explained/bus/proof.png",
    "reid": "explained/6_0_and_6_1/similarity.jpg",
    "segmentation": "explained/scene-3/s*.png",
    "similarity": "explained/bus_and_zidane/similarity.jpg",
    "transformers": "explained/one-thing/gradcam_prediction.png",
    "trust": "explained/bus/gradcam_prediction.png",
    "video": "explained/scene/overlay.mp4",
}
"""The file that the page of each name shows, once its blocks have written it; of several, all beside one another."""
SCREENS = {
    "describe": ("?model=demo-vlm&example=red+star", "text=Words"),
    "history": ("saved?tab=decks", "text=See a model cheat"),
    "own-models": ("models", "text=All models"),
}
"""The page of the dashboard that the page of each name shows, and what is there once it has loaded."""
VIEW = {"width": 1100, "height": 780}
SETTLE_MS, LIMIT_MS = 4_000, 300_000
SIZE = (800, 480)
"""The longest sides, in pixels."""
MOST = 40_000
"""Bytes of each."""


def main(names: list[str]) -> None:
    for name in names or PAGES | SCREENS:
        save(screen(*SCREENS[name]) if name in SCREENS else written(name), IMAGES / f"{name}.webp")


def written(name: str) -> Image.Image:
    """Follow a page until its picture is there."""
    with examples.folder():
        for _ in examples.steps(ROOT / "docs" / f"{name}.md"):
            if found := sorted(Path().glob(PAGES[name])):
                return beside([read(path) for path in found[:5]])
    raise SystemExit(f"No block of {name}.md writes {PAGES[name]}.")


def screen(page: str, seen: str) -> Image.Image:
    """Return what a page of the dashboard shows to somebody who has saved nothing yet."""
    import torch

    from benchmarks.viewer.browser import DASHBOARD, serving
    from sightglass import Explainer

    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", home)
        # As somebody drops a checkpoint of their own.
        dropped = Path(home) / "tf_efficientnet_lite0.pth"
        tensors = Explainer("efficientnet-lite0").loaded.adapter.module.state_dict()
        # Its padding is in its kernels; timm's is beside them.
        torch.save({name: odd(tensor) for name, tensor in tensors.items()}, dropped)
        with serving(DASHBOARD) as server:
            return photograph(f"{server.address}/{page}", seen, dropped if page == "models" else None)


def odd(tensor: Any) -> Any:
    """Return a kernel without the zeros that make its sides even."""
    even = tensor.ndim == 4 and tensor.shape[-1] > 1 and tensor.shape[-1] % 2 == 0
    if not even:
        return tensor
    return tensor[..., 1:, 1:] if not tensor[..., 0, :].any() else tensor[..., :-1, :-1]


def read(path: Path) -> Image.Image:
    """Return a picture, the middle frame of a clip, or what a browser shows of a page."""
    if path.suffix == ".html":
        return photograph(path.resolve().as_uri())
    if path.suffix != ".mp4":
        return Image.open(path).convert("RGB")
    import av

    with av.open(str(path)) as clip:
        frames = [frame.to_image() for frame in clip.decode(video=0)]
    return frames[len(frames) // 3]


def photograph(address: str, seen: str = "body", dropped: Path | None = None) -> Image.Image:
    """Return what a browser shows at an address once nothing moves."""
    from playwright.sync_api import sync_playwright

    from benchmarks.viewer.browser import FLAGS

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        page = browser.new_page(viewport=VIEW)
        page.goto(address)
        page.set_default_timeout(LIMIT_MS)
        page.locator(seen).first.wait_for()
        page.wait_for_timeout(SETTLE_MS)
        if address.startswith("file"):
            # Of a deck the second slide: the first has words alone.
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(SETTLE_MS)
        if dropped is not None:
            page.locator("[data-testid=stFileUploader] input[type=file]").last.set_input_files(dropped)
            page.locator("[class*=st-key-viewer] canvas").first.wait_for()
        if address.startswith("http"):
            page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
            page.wait_for_timeout(SETTLE_MS)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    return picture


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
