"""What the panel is sent: a picture and the order in which a map hides it, then curves as they come."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from components.frontend import packed_by_content
from explain.faithfulness.proof import SUFFICIENT
from explain.phrases import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from explain import Explanation
    from explain.faithfulness.proof import Proof
    from explain.maps.heatmap import Heatmap

MAX_CELLS = 320
"""Cells of a side of the order's grid; what models take is mostly smaller."""
MAX_SIDE = 1000
"""Pixels of the picture's longer side."""
LEVELS = 200
"""Of the order, in one byte each: whole halves of a percent, so that every step hides exactly its share."""
QUALITY = 88
_EMPTY = {
    "no evidence": "nothing in the picture speaks for it, so no place is hotter than another",
    "flat": "it is the same everywhere, so no place is hotter than another",
    "not a number": "it holds numbers that are none, which the model or the method made",
}
_TITLES = {
    "map": "This map",
    "random": "Random places",
    "blobs": "Random places in the object",
    "centre": "Middle of the picture",
    "edges": "Edges in the picture",
}


def nothing_to_prove(heatmap: Heatmap) -> str | None:
    """Return why a map cannot be proved, in one sentence; None where it can."""
    why = _EMPTY.get(heatmap.measured.state)
    return None if why is None else f"There is nothing to prove about the map of {heatmap.target.label}: {why}."


def pack(explanation: Explanation, index: int) -> tuple[str, bytes]:
    """Return an id and the payload of one map: the picture, it blurred, and the order as bytes, rows first.

    A cell of byte b is among the hottest p % where b < 2 p. Raises ValueError for a map that is the same everywhere.
    """
    from explain.faithfulness.ranking import ranking

    heatmap = explanation.heatmaps[index].measured
    places = ranking(heatmap.content)
    if places is None:
        raise ValueError("A map that is the same everywhere has no order.")
    order = levels(places)
    left, top, right, bottom = heatmap.seen
    seen = explanation.image.pixels[top:bottom, left:right]
    blurred, mean = _fillings(seen, heatmap.content.shape)
    scale = min(1.0, MAX_SIDE / max(seen.shape[:2]))
    size = (max(1, round(seen.shape[1] * scale)), max(1, round(seen.shape[0] * scale)))
    head: dict[str, Any] = {
        "size": list(size),
        "grid": list(order.shape),
        "mean": [round(float(value)) for value in mean],
        "label": heatmap.target.label,
    }
    shown = seen if scale == 1 else cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    return packed_by_content(head, [_jpeg(shown), _jpeg(blurred), order.tobytes()])


def levels(places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the order (h, w) of a map on at most MAX_CELLS cells a side, 0 the hottest and LEVELS - 1 the coldest."""
    height, width = places.shape
    scale = MAX_CELLS / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        places = cv2.resize(places, size, interpolation=cv2.INTER_AREA)
    # Half a pixel's share keeps a rank that is a whole number of levels from falling below it in float32.
    found = np.floor(places.astype(np.float64) * LEVELS + 0.5 * LEVELS / (height * width))
    return found.clip(0, LEVELS - 1).astype(np.uint8)


def _fillings(seen: NDArray[np.uint8], grid: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return what the engine hides pixels behind, in the picture's own colours: blurred (h, w, 3), and their mean."""
    import torch

    from explain.faithfulness.filling import blurred

    height, width = grid
    small = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture = torch.from_numpy(small).permute(2, 0, 1)[None]
    soft = blurred(picture)[0].permute(1, 2, 0).numpy()
    return np.rint(soft).clip(0, 255).astype(np.uint8), small.mean((0, 1))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes()


def curves(proof: Proof | None, *, detects: bool, of: str, whole: bool) -> dict[str, Any]:
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
            "columns": [],
            "table": [],
        }
    from explain.faithfulness import FILLINGS
    from explain.faithfulness.words import COLUMNS, rows

    titles = _TITLES | {"runner-up": f"Map of {proof.runner_up}"}
    drawn = [
        {
            "name": name,
            "title": titles[name],
            "filling": filling,
            "hidden": _mean(proof, name, filling, "deletion"),
            "kept": _mean(proof, name, filling, "insertion"),
        }
        for filling in proof.fillings
        for name in ("map", *proof.controls)
        if proof.of(name, filling)
    ]
    return {
        "of": of,
        "label": proof.label,
        "fillings": [{"id": one, "words": FILLINGS[one]} for one in proof.fillings],
        "curves": drawn,
        "sentence": sentence(proof, whole=whole),
        "line": shares(proof, detects=detects) if whole else "",
        "columns": list(COLUMNS),
        "table": rows(proof) if whole else [],
    }


def _mean(proof: Proof, name: str, filling: Any, way: str) -> list[float]:
    scores = np.mean([getattr(curve, way).score for curve in proof.of(name, filling)], axis=0)
    return [round(float(score), 4) for score in scores]


def sentence(proof: Proof, *, whole: bool) -> str:
    """Return the proof's sentence, marked as preliminary while curves are missing; empty without a random control."""
    if whole:
        return proof.sentence
    # The coarse curve of the start, or controls that are not all there yet, would be another verdict.
    if all(name in ("map", "random", "blobs") for name in proof.controls):
        return ""
    first = proof.fillings[0]
    only = replace(proof, curves=tuple(one for one in proof.curves if one.filling == first), fillings=(first,))
    return f"So far: {only.sentence[0].lower()}{only.sentence[1:]}"


def shares(proof: Proof, *, detects: bool) -> str:
    """Return sufficiency and necessity in plain words."""
    hidden, kept = proof.necessity, proof.sufficiency
    stays = proof.map.deletion.stays
    if not detects and stays.all():
        first = "Whatever share is hidden, the answer stays"
    elif hidden is None:
        first = "It is not the model's answer, so hiding cannot flip it" if not stays[0] else "Hiding does not lose it"
    else:
        first = f"Hiding the hottest {percent(hidden)} {'loses the box' if detects else 'flips the answer'}"
    what = "lead over the next class" if proof.part == "contrast" else "score"
    most = percent(SUFFICIENT)
    if kept is None:
        return f"{first}; there is no {what} to keep."
    if kept >= 1:
        return f"{first}; nothing less than the whole picture keeps {most} of the {what}."
    if kept == 0:
        return f"{first}; with nothing kept {most} of the {what} is there all the same."
    return f"{first}; the hottest {percent(kept)} alone keeps {most} of the {what}."
