"""Set out a proof for the reports: its sentence, curves, numbers, and the picture under a slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explain.export import proof_view
from explain.export.offline_page import data_url
from explain.export.proof_chart import Frame, Path, chart
from explain.export.proof_view import written
from explain.faithfulness import FILLINGS
from explain.faithfulness.measures import shown
from explain.faithfulness.proof import NEAR
from explain.faithfulness.words import lines, rows
from explain.phrases import listing, percent, plural
from explain.picture.image import to_png

if TYPE_CHECKING:
    from explain.export.proof_view import Line
    from explain.faithfulness.proof import Proof
    from explain.result import Result

ABOUT = (
    "Hidden and kept: the mean score over all shares, for the first filling. A good map has little left when its "
    "hottest part is hidden, and much when only that is kept. Better: kept less hidden, the map's less the control's, "
    "over all seeds and fillings; where the interval is above 0, it is no accident. A score with \u2248 was not "
    "measured but lies between two that were."
)
_FRAME = Frame(460, 250, 58, 14, 10, 44)
_WIDTH, _BOLD = 1.5, 3.2
"""Of a control's line and of the map's, in the chart's pixels."""


@dataclass(frozen=True)
class Row:
    """What is said of a curve in numbers."""

    line: Line
    hidden: str
    """The score with a small share hidden, that of `first_step`."""
    kept: str
    numbers: tuple[str, ...]
    """As `words.rows`, without the name."""


def settings(proof: Proof) -> str:
    """Say how the proof was made: what hidden pixels become, and in how many steps."""
    first, *rest = (FILLINGS[one] for one in proof.fillings)
    also = f"; computed again with {listing(rest)}" if rest else ""
    shown = " In the pictures, colours that are interpolated are shown as a blur." if "linear" in proof.fillings else ""
    return f"Hidden pixels become {first}{also}. {plural(proof.map.steps, 'step')}, drawn for the first filling.{shown}"


def first_step(proof: Proof) -> int:
    """Return the step whose scores are shown before anybody moves a slider."""
    return max(1, round(NEAR * proof.map.steps))


def heads(proof: Proof) -> tuple[str, ...]:
    """Return the headings of a row's numbers."""
    share = percent(first_step(proof) / proof.map.steps)
    return f"{share} hidden", f"{share} kept", "mean hidden", "mean kept", "better by", "95 % interval"


def rows_of(proof: Proof) -> list[Row]:
    """Return a row for the map and for each control, for the first filling.

    A difference that does not agree with known causes (`measures.SHOWN`) is left out; the row names its curve.
    """
    share = first_step(proof) / proof.map.steps
    own = [line for line in proof_view.lines(proof) if line.filling == proof.fillings[0]]
    return [
        Row(
            line,
            written(line.hidden, share),
            written(line.kept, share),
            tuple(numbers if line.name == "map" or shown(line.name) else (*numbers[:2], "", "")),
        )
        for line, (_, *numbers) in zip(own, rows(proof, every=True), strict=True)
    ]


def view(proof: Proof) -> dict[str, Any]:
    """Return what the HTML report's template says of a proof."""
    listed, many, start = rows_of(proof), proof.map.steps, first_step(proof)
    own = [row.line for row in listed]
    charts = [chart(proof, "hidden", _FRAME), chart(proof, "kept", _FRAME)]
    return {
        "label": proof.label,
        "sentence": proof.sentence,
        "lines": lines(proof),
        "settings": settings(proof),
        "fillings": [(one, FILLINGS[one]) for one in proof.fillings],
        "steps": many,
        "start": start,
        "share": percent(start / many),
        "charts": [(one, [(path, _attributes(path)) for path in one.paths]) for one in charts],
        "heads": heads(proof)[2:],
        "rows": [(row, _sample(row.line.name)) for row in listed],
        "about": ABOUT,
        "titles": [line.title for line in own],
        "scores": [
            (percent(i / many), [(written(line.hidden, i / many), written(line.kept, i / many)) for line in own])
            for i in range(many + 1)
        ],
    }


def data(explanation: Result, index: int) -> dict[str, Any]:
    """Return what the HTML report's script draws of the proof of a map."""
    proof, heatmap = explanation.proofs[index], explanation.heatmaps[index].measured
    left, top, right, bottom = heatmap.seen
    made = proof_view.slides(explanation.image.pixels[top:bottom, left:right], heatmap.content)
    frame = _FRAME
    return {
        "steps": proof.map.steps,
        "size": made.size,
        "grid": made.order.shape[::-1],
        "picture": data_url(made.picture, "jpeg"),
        "blurred": data_url(made.blurred, "jpeg"),
        "mean": made.mean,
        "order": data_url(to_png(made.order), "png"),
        "lines": [
            {"name": line.name, "filling": line.filling, "hidden": line.hidden, "kept": line.kept}
            for line in proof_view.lines(proof)
        ],
        "across": [frame.across(0), frame.across(1)],
        "down": [frame.down(0), frame.down(1 / chart(proof, "hidden", frame).top)],
    }


def _attributes(path: Path) -> dict[str, str]:
    width = _BOLD if path.name == "map" else _WIDTH
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in path.points)
    return {"d": f"M{line}", **_stroke(path.colour, path.dashes, width)}


def _sample(name: str) -> dict[str, str]:
    path = Path(name, "", ())
    return _stroke(path.colour, path.dashes, _BOLD if name == "map" else _WIDTH)


def _stroke(colour: str, dashes: tuple[float, ...], width: float) -> dict[str, str]:
    found = {"stroke": colour, "stroke-width": f"{width:g}"}
    return found | ({"stroke-dasharray": " ".join(f"{dash * width:g}" for dash in dashes)} if dashes else {})
