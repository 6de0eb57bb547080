"""Describe the curves of a proof once, and draw them for pages, files and slides."""

from __future__ import annotations

import textwrap
import threading
import warnings
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from sightglass.common.fonts import find_other, spell_missing, spell_unknown
from sightglass.explain.phrases import capital, percent, shorten
from sightglass.report.layouts import INCH, LETTERS, Rect, Theme, hex_of
from sightglass.report.view import Chart, ChartLine, LineName, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightglass.common.files import Json
    from sightglass.explain.trust.proof import Proof

Way = Literal["hidden", "kept"]
LINES: dict[LineName, tuple[str, str, tuple[float, ...]]] = {
    "map": ("This map", "#111111", ()),
    "strongest": ("Another map", "#1f5fd0", (5, 2)),
    "random": ("Random places", "#5b6b7b", (7, 3)),
}
"""Title, colour and dash pattern of each curve. Every colour has a contrast of at least 4.5 with white; dashes and gaps
are in pixels, for a line of LINE pixels."""
LINE = 1.5
"""Pixels of the width of a line, by which LINES has its dashes."""
PANELS: dict[Way, str] = {"hidden": "strongest part hidden", "kept": "only the strongest part kept"}
"""Titles of a figure's two panels."""
DPI = 200
"""Pixels of an inch in a PNG or JPG."""
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "svg.hashsalt": "sightglass",
    "pdf.fonttype": 42,  # journals refuse Type 3
    "text.parse_math": False,  # a dollar in a file's name is no formula
}
LOCK = threading.Lock()  # matplotlib's settings and fonts are shared by the whole process


def describe_proof(proof: Proof, picture: int = 0) -> Chart:
    """Return the chart of a proof's first filling; a control's curve is the mean over its maps."""
    names = {name: title for name, (title, _, _) in LINES.items()}
    names["strongest"] = capital(proof.support.strongest_name)
    curves = [
        ChartLine(name, names[name], *(_mean(proof, name, way) for way in ("deletion", "insertion")))
        for name in cast("tuple[LineName, ...]", ("map", *proof.controls))
        if proof.of(name, proof.fillings[0])
    ]
    return Chart(proof.label[:200], proof.sentence, tuple(curves), picture)


def _mean(proof: Proof, name: str, way: str) -> tuple[float, ...]:
    scores = np.mean([getattr(curve, way).score for curve in proof.of(name, proof.fillings[0])], axis=0)
    return tuple(round(float(score), 4) for score in scores)


def save(draw: Callable[[], Figure], title: str, format: str, encoding: Json | None = None) -> bytes:
    """Return a figure as a file without timestamps, drawn by one thread at a time.

    `format`: `png`, `jpg`, `svg` or `pdf`. `encoding`: Pillow's options for a PNG or JPG.
    """
    import matplotlib

    out = BytesIO()
    metadata: dict[str, Json] = {
        "png": {"Software": "Sightglass"},
        "svg": {"Date": None, "Creator": "Sightglass", "Title": title},
        "pdf": {"CreationDate": None, "Creator": "Sightglass", "Title": title},
    }
    more: Json = {"pil_kwargs": encoding} if encoding else {}
    families = _families() if format in ("png", "jpg") else {}
    with LOCK, warnings.catch_warnings(), matplotlib.rc_context(STYLE | families):
        # A letter that no font here has, of text that another program draws.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = draw()
        if format != "svg":
            _spell_missing(figure, spell_unknown if families else spell_missing)
        figure.savefig(out, format=format, dpi=DPI, metadata=metadata.get(format), **more)
    return out.getvalue()


def _families() -> dict[Any, Any]:
    """Return the setting with this machine's font for other letters; nothing without one."""
    other = find_other()
    if other is None:
        return {}
    from matplotlib import font_manager

    font_manager.fontManager.addfont(other)
    return {"font.family": ["DejaVu Sans", font_manager.FontProperties(fname=other).get_name()]}


def _spell_missing(figure: Figure, spell: Callable[[str], str]) -> None:
    """Replace letters that no font has, which would be empty boxes."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(spell(text.get_text()))


def draw_curves(
    axes: Axes,
    curves: Sequence[ChartLine],
    way: Way,
    *,
    line: float,
    letters: float,
    inks: Mapping[str, str] | None = None,
) -> None:
    """Draw curves with matplotlib; the map's curve is bold and on top.

    `line`: width of a control's line, in points. `letters`: size of the tick labels, in points. `inks`: colour of each
    curve by its name; by default those of `LINES`.
    """
    for curve in curves:
        scores, bold = getattr(curve, way), curve.name == "map"
        _, default_ink, lengths = LINES[curve.name]
        # Matplotlib takes the lengths of dashes by the line's width.
        style = "-" if bold else (0, [length / LINE for length in lengths])
        width, color = (2.2 * line if bold else line), (inks[curve.name] if inks else default_ink)
        shares = np.linspace(0, 1, len(scores))
        axes.plot(shares, scores, linestyle=style, linewidth=width, color=color, label=curve.title, zorder=2 + bold)
    scores = [score for curve in curves for score in (*curve.hidden, *curve.kept)]
    axes.set(xlim=(0, 1), ylim=(min(0.0, *scores), max(*scores, 0.01) * 1.05))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: percent(value))
    axes.tick_params(labelsize=letters)
    axes.spines[["top", "right"]].set_visible(False)


def figure(chart: Chart, format: str = "png") -> bytes:
    """Return all curves of a chart as a figure, over the hidden and the kept shares, reproducibly."""

    def draw() -> Figure:
        from matplotlib.figure import Figure

        canvas = Figure(figsize=(7.2, 3.9))
        for column, (way, title) in enumerate(PANELS.items()):
            axes = canvas.add_axes((0.075 + 0.48 * column, 0.27, 0.41, 0.55))
            draw_curves(axes, chart.curves, way, line=1.1, letters=7)
            axes.set_title(title, fontsize=8.5)
            axes.set_xlabel("share of the visible picture", fontsize=7.5)
        left = canvas.axes[0]
        left.set_ylabel(f"score of {textwrap.shorten(chart.label, 40, placeholder='…')}", fontsize=7.5)
        handles, labels = left.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="lower center", ncols=3, fontsize=7, frameon=False, handlelength=4)
        canvas.text(0.01, 0.985, textwrap.fill(chart.sentence, 112), va="top", fontsize=8.5)
        return canvas

    return save(draw, chart.sentence, format)


def slide(chart: Chart, rect: Rect, theme: Theme, format: Literal["png", "svg"]) -> bytes:
    """Return the score over the hidden share for a slide, beside that of the strongest control."""
    ink, soft, accent, ground = (hex_of(color) for color in (theme.ink, theme.soft, theme.accent, theme.ground))
    by_name = {curve.name: curve for curve in chart.curves}
    curves = [replace(by_name["map"], title="Strongest places hidden")]
    if (control := by_name.get("strongest", by_name.get("random"))) is not None:
        curves.append(replace(control, name="random", title=shorten(control.title, 40, len)))

    def draw() -> Figure:
        from matplotlib.figure import Figure

        canvas = Figure((rect.width * INCH, rect.height * INCH), facecolor=ground)
        axes = canvas.add_axes((0.2, 0.15, 0.72, 0.68), facecolor=ground)
        draw_curves(axes, curves, "hidden", inks={"map": accent, "random": ink}, line=2.5, letters=LETTERS)
        axes.tick_params(colors=soft)
        axes.spines[:].set_color(soft)
        axes.set_xlabel("Hidden part of the picture", fontsize=LETTERS, color=soft)
        axes.set_ylabel(f"{shorten(chart.label, 24, len)}, how sure", fontsize=LETTERS, color=soft)
        canvas.legend(loc="upper left", fontsize=LETTERS, frameon=False, labelcolor=ink, handlelength=3)
        return canvas

    return save(draw, chart.sentence, format)


def intervals(view: View, rect: Rect, theme: Theme, format: Literal["png", "svg"]) -> bytes:
    """Return each model's number with its interval for a slide, one below the other."""
    scores = view.scores
    ink, soft, accent, ground = (hex_of(color) for color in (theme.ink, theme.soft, theme.accent, theme.ground))

    def draw() -> Figure:
        from matplotlib.figure import Figure

        canvas = Figure((rect.width * INCH, rect.height * INCH), facecolor=ground)
        axes = canvas.add_axes((0.3, 0.17, 0.66, 0.78), facecolor=ground)
        for row, score in enumerate(scores):
            axes.plot((score.low, score.high), (row, row), color=accent, linewidth=5, solid_capstyle="butt")
            axes.plot(score.value, row, "o", color=ink, markersize=13)
            axes.text(score.value, row - 0.22, score.text, color=ink, fontsize=LETTERS, ha="center")
        has_intervals = any(score.low < score.high for score in scores)
        if has_intervals or view.axis:
            # Room for the texts at the ends.
            axes.margins(x=0.2)
        else:
            axes.set_xlim(-0.15, 1.15)
            axes.set_xticks((0, 0.25, 0.5, 0.75, 1))
        axes.set_yticks(range(len(scores)), [shorten(score.name, 24, len) for score in scores])
        axes.set_ylim(len(scores) - 0.5, -0.6)
        if not view.axis:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}")
        axes.tick_params(colors=soft, labelsize=LETTERS)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(soft)
        label = "95 % interval, in hundredths" if has_intervals else "in hundredths, without intervals"
        axes.set_xlabel(view.axis or label, fontsize=LETTERS, color=soft)
        return canvas

    return save(draw, "; ".join(f"{score.name} {score.text}" for score in scores), format)
