"""`--also`: what else is written of an explanation, each by a function of `explain.export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from explain.explanation import Explanation
    from explain.export.result_folder import File, Look

FORMATS = {
    "svg": "figure.svg",
    "pdf": "figure.pdf",
    "html": "report.html",
    "report": "report.pdf",
    "gif": "layers.gif",
    "mp4": "layers.mp4",
}
"""What is asked for, and the file that it becomes."""


def chosen(texts: Sequence[str] | None) -> tuple[str, ...]:
    """`["svg,pdf", "html"]` as formats, each once; raises a Problem for one that there is not."""
    found = tuple(
        dict.fromkeys(name.strip().lower() for text in texts or () for name in text.split(",") if name.strip())
    )
    if unknown := [name for name in found if name not in FORMATS]:
        raise Problem(f"--also knows no {unknown[0]}: use {', '.join(FORMATS)}.")
    return found


def files(explanation: Explanation, formats: Sequence[str], look: Look) -> Iterator[File]:
    """The best map as figures, as reports, and through the model's layers; nothing where there is no map."""
    from explain.export import animation, figure, html_report, pdf_report

    for name in formats if explanation.heatmaps else ():
        if name in ("svg", "pdf"):
            kind: Literal["svg", "pdf"] = "svg" if name == "svg" else "pdf"
            made = figure.figure(explanation, format=kind, colormap=look.colormap, alpha=look.alpha)
        elif name == "html":
            made = html_report.html([explanation]).encode()
        elif name == "report":
            made = pdf_report.pdf(explanation, colormap=look.colormap)
        else:
            made = animation.sweep(explanation, format="gif" if name == "gif" else "mp4", colormap=look.colormap)
        yield FORMATS[name], made
