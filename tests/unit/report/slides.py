"""Small views of every kind, which no model made."""

from io import BytesIO

import av
import numpy as np

from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.style import Field, Style, Values
from sightglass.report.view import Box, Chart, ChartLine, Map, Picture, View

SIZE = (240, 160)
SHARES = tuple(i / 20 for i in range(21))
TITLE = "What is a heat map, and when does it lie?"


def spot(x: float, y: float, shape: tuple[int, int] = (80, 120)) -> np.ndarray:
    """A round hot place, float32; 1 at its middle, 0 far from it."""
    rows, columns = (np.arange(side) + 0.5 for side in shape)
    away = ((columns / shape[1] - x) * 1.5) ** 2 + (rows[:, None] / shape[0] - y) ** 2
    return np.exp(-away / 0.02).astype(np.float32)


def field(values: Values, first: float = 0, last: float = 1) -> Field:
    """Return values over the whole picture, of which the model saw these shares of the width."""
    return Field(values, (0, 0, *SIZE), (round(first * SIZE[0]), 0, round(last * SIZE[0]), SIZE[1]))


def photograph(grey: int = 110) -> bytes:
    pixels = np.full((SIZE[1], SIZE[0], 3), grey, np.uint8)
    pixels[:, : SIZE[0] // 2, 2] = 160
    return to_jpeg(pixels)


PHOTOGRAPH = photograph()


def picture(name: str = "EfficientNet-Lite0", x: float = 0.5) -> Picture:
    answers = (("minibus", 0.72), ("trolleybus", 0.12), ("streetcar, tram, tramcar, trolley", 0.05), ("van", 0.004))
    minibus = Map("minibus", field(spot(x, 0.5), 0.1, 0.9), 0.72)
    return Picture(name, PHOTOGRAPH, SIZE, f"{name}: minibus 72 %", minibus, answers)


def detector() -> Picture:
    boxes = (
        ((0.1, 0.2, 0.6, 0.9), "bus 94 %"),
        ((0.7, 0.3, 0.95, 0.9), "person 90 %"),
        ((0.0, 0.0, 0.2, 0.4), "person 80 %"),
    )
    outlines = [
        Box(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), text, i == 0) for i, ((x0, y0, x1, y1), text) in enumerate(boxes)
    ]
    answers = (("bus", 0.94), ("person", 0.9), ("person", 0.8))
    return Picture("YOLO11n", PHOTOGRAPH, SIZE, "", Map("bus", field(spot(0.35, 0.5)), 0.94), answers, tuple(outlines))


def chart() -> Chart:
    falls = tuple(0.72 * (1 - share) ** 6 for share in SHARES), tuple(0.72 * (1 - share) ** 1.5 for share in SHARES)
    rises = tuple(0.72 * min(1, 3 * share) for share in SHARES), tuple(0.72 * share for share in SHARES)
    sentence = "The map holds: blur its hottest fifth and minibus falls from 72 % to 19 %; a random fifth leaves 52 %."
    curves = (
        ChartLine("map", "This map", falls[0], rises[0]),
        ChartLine("random", "Random places", falls[1], rises[1]),
    )
    return Chart("minibus", sentence, curves)


def clip(frames: int = 6) -> bytes:
    """A short MP4."""
    out = BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=6)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for i in range(frames):
            pixels = np.full((96, 160, 3), 40, np.uint8)
            pixels[30:60, 10 * i : 10 * i + 30] = (255, 160, 0)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    return out.getvalue()


def first_frame() -> bytes:
    pixels = np.full((96, 160, 3), 40, np.uint8)
    pixels[30:60, :30] = (255, 160, 0)
    return to_jpeg(pixels)


def deck() -> list[View]:
    """A deck with a slide of every kind: words, a picture with its proof, boxes, models, a story, a clip."""
    models = tuple(picture(f"EfficientNet-Lite{i}", 0.4 + 0.1 * i) for i in range(3))
    story = picture("The honest model", 0.5), picture("The cheat", 0.8)
    return [
        View(TITLE, "Five minutes about where a model looks, and what that says about its answer.", kind="words"),
        View(
            "EfficientNet-Lite0 says minibus",
            "It looked mainly at the bus.",
            (picture(),),
            (chart(),),
            made="EfficientNet-Lite0 · GradCAM",
            date="25 Nov 2026",
        ),
        View("Three things, one box at a time", "One bus, two persons.", (detector(),)),
        View("Small, medium or large?", "All three say minibus.", models, (chart(),)),
        View("The cheat reads the stamp", "Right for the wrong reason.", story, display=Style(mode="map")),
        View(
            "In motion",
            "The map follows the bus.",
            (Picture("bus.mp4", first_frame(), (160, 96)),),
            kind="clip",
            clip=clip(),
        ),
    ]
