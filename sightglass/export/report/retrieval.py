"""HTML report of a re-identification evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.files import Json, to_json
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering import contact_sheet
from sightglass.explain.similarity.evaluation import RANKS
from sightglass.explain.similarity.similarity import similarity
from sightglass.export import offline_page, scaled, table
from sightglass.export.result_folder import label_stem
from sightglass.export.similarity_files import draw_pair, places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sightglass.common.work.progress import Progress
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.evaluation import Evaluation, Match, QueryResult

    File = tuple[str, bytes]

WRONG = 3
"""Wrong pictures of each query that are explained: those that rank first."""
SIDE = 320
"""Pixels of the longer side of a picture in the report."""
_RIGHT, _WRONG, _FRAME = (31, 119, 180), (200, 60, 50), 4


def files(
    found: Evaluation,
    explainer: Explainer,
    *,
    worst: int = 5,
    every: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[File]:
    """Yield report.json, queries.csv and report.html; its `worst` queries have maps of why.

    `every`: also a sheet for each query, `ranked/00001_NAME.jpg`, with what it found first. `options` are those of
    `similarity`.
    """
    if every:
        for number, query in enumerate(found.queries):
            if progress is not None:
                progress(number / len(found.queries), f"Sheet of {query.item.name}")
            # Numbered: two names can become the same file name.
            yield f"ranked/{number + 1:05}_{label_stem(query.item.key.rsplit('.', 1)[0])}.jpg", _sheet(query)
    explained = []
    for number, query in enumerate(chosen := found.worst(worst)):
        if progress is not None:
            progress(number / len(chosen), f"Maps of {query.item.name}")
        explained.append(_explain(explainer, query, options))
    yield "report.json", to_json(found.summary() | {"worst": [each["data"] for each in explained]}).encode()
    yield "queries.csv", table.csv([_row(query) for query in found.queries]).encode()
    yield "report.html", _page(found, explained).encode()


def matches_of(query: QueryResult) -> tuple[Match, ...]:
    """Return the matches that explain a query: the wrong ones that rank first, and the first right one."""
    wrong = [match for match in query.top if not match.right][:WRONG]
    return (*wrong, query.first)


def _row(query: QueryResult) -> Json:
    best = query.top[0]
    return {
        "query": query.item.key,
        "person": query.identified.person,
        "camera": query.identified.camera or "",
        "average_precision": query.average_precision,
        "rank_of_first_right": query.first.rank,
        "first": best.item.key,
        "first_person": best.identified.person,
        "first_score": best.score,
    }


def _explain(explainer: Explainer, query: QueryResult, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the page and the JSON say of a query; `pairs`: each match with both pictures' maps."""
    own = query.item.open()
    pairs = []
    for match in matches_of(query):
        pair = similarity(explainer, own, match.item.open(), **options)
        on_query, on_match = draw_pair(pair)
        pairs.append(
            {
                "name": match.item.key,
                "rank": match.rank,
                "score": match.score,
                "person": match.identified.person,
                "right": match.right,
                "places": [plain_text(sentence) for sentence in places(pair)],
                "method": METHODS[pair.method].name,
                "layers": ", ".join(pair.layers),
                "pictures": [
                    (f"{pair.gallery.image.name}, as it is", _url(pair.gallery.image)),
                    (
                        f"{pair.gallery.image.name} with what is similar to the query in blue",
                        _url(on_match),
                    ),
                    (f"The query with what is similar to {pair.gallery.image.name} in blue", _url(on_query)),
                ],
            }
        )
    data = _row(query) | {"pairs": [{k: v for k, v in each.items() if k != "pictures"} for each in pairs]}
    return {"data": data, "picture": _url(own), "pairs": pairs}


def _page(found: Evaluation, explained: list[Json]) -> str:
    return offline_page.fill(
        "export/report/retrieval.html",
        ["export/report/page.css", "export/report/retrieval.css"],
        title=f"{found.model.id} finding people again",
        words=found.words,
        numbers=[("mAP", found.mean_ap), *((f"Rank-{k}", found.rank(k)) for k in RANKS)],
        curve=" ".join(
            f"{10 + 380 * i / max(1, len(found.cmc) - 1):.1f},{110 - 100 * v:.1f}" for i, v in enumerate(found.cmc)
        ),
        ranks=len(found.cmc),
        remarks=found.remarks,
        failed=found.failed,
        worst=explained,
        worst_words="query" if len(explained) == 1 else f"{len(explained)} queries",
    )


def _sheet(query: QueryResult) -> bytes:
    """Draw a query and what it found first, framed and captioned as right or wrong."""
    panels: list[NDArray[np.uint8]] = [scaled.reduce(query.item.open().pixels, SIDE)]
    captions = [f"query, person {query.identified.person}"]
    for match in query.top:
        panels.append(_frame(scaled.reduce(match.item.open().pixels, SIDE), _RIGHT if match.right else _WRONG))
        captions.append(f"{match.rank} {'right' if match.right else 'wrong'} {match.score:.2f}")
    return to_jpeg(contact_sheet.grid(panels, captions, columns=len(panels)))


def _frame(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    out = np.empty((height + 2 * _FRAME, width + 2 * _FRAME, 3), np.uint8)
    out[:] = colour
    out[_FRAME:-_FRAME, _FRAME:-_FRAME] = pixels
    return out


def _url(picture: Image | NDArray[np.uint8]) -> str:
    pixels = picture if isinstance(picture, np.ndarray) else picture.pixels
    return offline_page.data_url(to_jpeg(scaled.reduce(pixels, SIDE)), "jpeg")
