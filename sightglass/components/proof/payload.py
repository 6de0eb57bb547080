"""Data of the proof panel."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sightglass.components.declare import packed_by_content
from sightglass.explain.proof import FILLINGS
from sightglass.explain.proof.measures import COLUMNS, rows, similarity
from sightglass.export.proof import chart as proof_view
from sightglass.export.proof.chart import lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.proof.proof import Proof

STEPS = 20
"""Of the slider while the curves come."""
_EMPTY = {
    "no evidence": "nothing in the picture speaks for it, so no place is hotter than another",
    "flat": "it is the same everywhere, so no place is hotter than another",
    "not a number": "it holds values that are not numbers, which the model or the method made",
}


def nothing_to_prove(heatmap: Heatmap) -> str | None:
    """Return why a map cannot be proved, in one sentence; None where it can."""
    why = _EMPTY.get(heatmap.measured.state)
    return None if why is None else f"There is nothing to prove about the map of {heatmap.target.label}: {why}."


def pack(explanation: Explanation, index: int) -> tuple[str, bytes]:
    """Return an id and the payload of one map; see `of_map`."""
    heatmap = explanation.heatmaps[index].measured
    return of_map(explanation.image.pixels, heatmap.seen, heatmap.strength, heatmap.target.label)


def of_map(
    pixels: NDArray[np.uint8], seen: tuple[int, int, int, int], content: NDArray[np.float32], label: str
) -> tuple[str, bytes]:
    """Return an id and the payload of a map (h, w) of a picture (H, W, 3): the picture, it blurred, and the order as
    bytes, rows first.

    `seen`: xyxy, the part of the picture that the map is of. Raises ValueError for a map that is the same everywhere.
    """
    left, top, right, bottom = seen
    made = proof_view.slides(pixels[top:bottom, left:right], content)
    head = {"size": list(made.size), "grid": list(made.order.shape), "mean": list(made.mean), "label": label}
    return packed_by_content(head, [made.picture, made.blurred, made.order.tobytes()])


def curves(proof: Proof | None, *, detects: bool, of: str, whole: bool) -> Json:
    """Return a proof as it is drawn: curves, the sentence, the line of shares, and the table, as texts.

    `of`: the id of `pack`. `detects`: the target is a box. `whole`: no curve is missing any more.
    """
    if proof is None:
        return {
            "of": of,
            "label": "",
            "curves": [],
            "fillings": [],
            "sentence": "",
            "line": "",
            "every_line": "",
            "columns": [],
            "table": [],
            "steps": STEPS,
            "every_row": [],
        }
    return {
        "of": of,
        "label": proof.label,
        "fillings": [{"id": one, "words": FILLINGS[one]} for one in proof.fillings],
        "curves": [asdict(line) for line in lines(proof)],
        "sentence": proof.sentence if whole or proof.support else "",
        "line": proof_view.shares(proof, detects=detects) if whole else "",
        "every_line": _every_line(proof, detects=detects) if whole else "",
        "columns": list(COLUMNS),
        "table": rows(proof) if whole else [],
        "every_row": rows(proof, every=True) if whole else [],
        # A saved proof may have others than those of the pages.
        "steps": proof.map.steps if whole else STEPS,
    }


def _every_line(proof: Proof, *, detects: bool) -> str:
    """Return what is said beside the table where all measures are asked for."""
    return f"{proof_view.shares(proof, detects=detects, every=True)} {similarity(proof)}".strip()
