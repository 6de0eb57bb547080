"""The formats in which a map leaves: the command line's `--also` and a page's Save read this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.explain.rendering.style import Style
from sightglass.report import animation, detection_images, figure, html_report, pdf
from sightglass.report.embedded_recipe import embed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.explanation import Explanation

    Maker = Callable[[Explanation, int, Mapping[str, Any]], bytes]
    """Makes the file of the map at an index, drawn by the viewer's settings."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    name: str
    """Of `--also`; empty where that does not offer it."""
    file: str
    """`figure.svg`."""
    make: Maker
    by_layer: bool = False
    """Whether it takes a method that works at any layer."""

    @property
    def row(self) -> str:
        """The key of its row in ROWS."""
        return self.file.partition(".")[0]

    @property
    def suffix(self) -> str:
        """`svg`."""
        return self.file.rpartition(".")[2]

    def fits(self, explanation: Explanation, index: int) -> bool:
        """Return whether the map at `index` can be written so."""
        return not self.by_layer or METHODS[explanation.heatmaps[index].method].quick


def _figure(kind: figure.Format) -> Maker:
    return lambda explanation, index, look: figure.figure(explanation, index, format=kind, look=look)


def _html(explanation: Explanation, index: int, look: Mapping[str, Any]) -> bytes:
    return html_report.html([explanation], index=index, colormap=Style.of(look).colormap).encode()


def _picture(encode: Callable[[NDArray[np.uint8]], bytes]) -> Maker:
    """Return what writes the map over the picture, in the picture's size, with its recipe."""

    def make(explanation: Explanation, index: int, look: Mapping[str, Any]) -> bytes:
        drawn = encode(detection_images.one_map(explanation, index, Style.of(look)))
        # A map alone does not show the picture.
        return embed(drawn, explanation, index, {"mode": "overlay", **look}, picture=look.get("mode") != "map")

    return make


FORMATS = (
    Format("", "picture.png", _picture(to_png)),
    Format("", "picture.jpg", _picture(to_jpeg)),
    Format("", "figure.png", _figure("png")),
    Format("", "figure.jpg", _figure("jpg")),
    Format("svg", "figure.svg", _figure("svg")),
    Format("pdf", "figure.pdf", _figure("pdf")),
    Format("html", "report.html", _html),
    Format("report", "report.pdf", lambda item, index, look: pdf.pdf(item, index, colormap=Style.of(look).colormap)),
    Format(
        "gif",
        "layers.gif",
        lambda item, index, look: animation.sweep(item, index, colormap=Style.of(look).colormap),
        by_layer=True,
    ),
)
ROWS = {
    "picture": ("Picture", "The map over the picture, in its size."),
    "figure": (
        "Figure",
        "Picture, map and overlay with colour bar and caption. In SVG and PDF, boxes and text are vectors.",
    ),
    "report": (
        "Report",
        "HTML: one file that needs no server, with opacity, threshold and class to choose. PDF: for printing.",
    ),
    "layers": ("Layer by layer", "This map at every layer of the model, from the first to the last."),
}
"""Title and help of the formats of one subject, by the start of their files' names."""
ALSO = {format.name: format for format in FORMATS if format.name}
