"""Write the formats of `--also`, each with a function of `explain.export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from explain.explanation import Explanation
    from explain.export.result_folder import File, MapColours

FORMATS = {
    "svg": "figure.svg",
    "pdf": "figure.pdf",
    "html": "report.html",
    "report": "report.pdf",
    "gif": "layers.gif",
    "mp4": "layers.mp4",
}
"""File name by format."""


def parse(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Return `["svg,pdf", "html"]` as single formats, each once; raise Problem for an unknown one."""
    found = tuple(
        dict.fromkeys(name.strip().lower() for text in texts or () for name in text.split(",") if name.strip())
    )
    if unknown := [name for name in found if name not in FORMATS]:
        raise Problem(f"--also knows no {unknown[0]}: use {', '.join(FORMATS)}.")
    return found


def files(explanation: Explanation, formats: Sequence[str], colours: MapColours) -> Iterator[File]:
    """Yield the best map as figures, reports and animations over the layers; nothing without a map."""
    from explain.export import animation, figure, html_report, pdf_report

    for name in formats if explanation.heatmaps else ():
        if name in ("svg", "pdf"):
            kind: Literal["svg", "pdf"] = "svg" if name == "svg" else "pdf"
            made = figure.figure(explanation, format=kind, colormap=colours.colormap, alpha=colours.alpha)
        elif name == "html":
            made = html_report.html([explanation]).encode()
        elif name == "report":
            made = pdf_report.pdf(explanation, colormap=colours.colormap)
        else:
            made = animation.sweep(explanation, format="gif" if name == "gif" else "mp4", colormap=colours.colormap)
        yield FORMATS[name], made
