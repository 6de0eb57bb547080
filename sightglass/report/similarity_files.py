"""Slides and files of two compared pictures, a ranked gallery, and an evaluation of queries."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sightglass.common.files import Json, npz_bytes, to_json
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import listing, plain_text, signed
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering.marks import contact_sheet
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style, Unseen
from sightglass.explain.similarity.ranking import Evaluation, Ranking
from sightglass.explain.similarity.similarity import ComparedImage, Similarity, describe_places
from sightglass.report import results, table
from sightglass.report.result_folder import MAPS, File, label_stem
from sightglass.report.view import MAX_MADE, Map, Picture, View
from sightglass.report.views import new_view, statement

Panels = list[NDArray[np.uint8]]
Attend = Callable[[Image], NDArray[np.uint8]]
LEGEND = "Red: similar, blue: different"


def draw_pair(similarity: Similarity, unseen: Unseen = "light") -> Panels:
    """Return both pictures under their maps, uint8 (H, W, 3): red similar, blue different; without a map as they are.

    `unseen`: the theme of the page around them.
    """
    return [
        paint(side.image.pixels, _field(side), Style(), unseen=unseen) if side.signed.any() else side.image.pixels
        for side in similarity.sides
    ]


def _field(side: ComparedImage) -> Field:
    """Return the signed map as it is drawn: squared, so that weak places are faint."""
    values = np.asarray(np.sign(side.signed) * side.signed**2, np.float32)
    return Field(values, side.geometry.extent, side.seen, kind="difference")


def pair_view(similarity: Similarity) -> View:
    """Return the view of two compared pictures, side by side under their maps."""
    sentences = describe_maps(similarity)
    pictures = []
    for side in similarity.sides:
        name = side.image.name
        item = Map("", _field(side)) if side.signed.any() else None
        pictures.append(Picture.of(side.image, name, item, caption=name))
    return new_view(
        pictures,
        title=statement(f"Similarity {signed(similarity.score)}"),
        sentence="Red makes them similar, blue makes them differ." if len(sentences) > 1 else " ".join(sentences),
        made=describe_setup(similarity.model.name, similarity.method, similarity.layers)[:MAX_MADE],
    )


def pair_files(similarity: Similarity, attend: Attend | None = None) -> Iterator[File]:
    """Yield similarity.jpg, maps.npz and similarity.json; `attend`: draws a picture under its attention."""
    names = [side.image.name for side in similarity.sides]
    panels, attention = _add_attention(draw_pair(similarity), [side.image for side in similarity.sides], attend)
    yield "similarity.jpg", _draw_sheet(panels, names + attention, _title(similarity))
    yield MAPS, npz_bytes(arrays(similarity))
    yield "similarity.json", to_json(results.SimilarityResult.build(similarity).to_dict()).encode()


def match_file(similarity: Similarity, rank: int) -> File:
    """Return one picture of a gallery beside the query: `top1_name.jpg`."""
    name = similarity.gallery.image.name
    sheet = _draw_sheet(draw_pair(similarity), [similarity.query.image.name, f"{rank}. {name}"], _title(similarity))
    return f"top{rank}_{label_stem(name.rsplit('.', 1)[0])}.jpg", sheet


def _add_attention(panels: Panels, images: Sequence[Image], attend: Attend | None) -> tuple[Panels, list[str]]:
    """Return the panels followed by those of the images' attention, and the captions of the latter."""
    added = [] if attend is None else [attend(image) for image in images]
    return [*panels, *added], ["attention"] * len(added)


def query_file(
    number: int, name: str, pairs: Sequence[Similarity], right: Sequence[bool] = (), attend: Attend | None = None
) -> File:
    """Return a query and its matches, best first, each with its score and its map: `visualized/query1_name.jpg`.

    The query's map is that of its best match. `right`: whether each match shows the query's person, where that is
    known. `attend`: draws a picture under its attention, in a second row.
    """
    drawings = [draw_pair(pair) for pair in pairs]
    marks = ["right " if correct else "wrong " for correct in right] or [""] * len(pairs)
    scores = [f"{i}. {mark}{signed(pair.score)}" for i, (mark, pair) in enumerate(zip(marks, pairs, strict=True), 1)]
    without_map = [str(i) for i, pair in enumerate(pairs, 1) if pair.state != "ok"]
    title = f"{name}. {LEGEND}{f'. Without a map: {listing(without_map)}' if without_map else ''}"
    images = [pairs[0].query.image, *(pair.gallery.image for pair in pairs)]
    panels, attention = _add_attention([drawings[0][0], *(match for _, match in drawings)], images, attend)
    columns = len(images) if attention else min(len(panels), 6)
    sheet = _draw_sheet(panels, ["query", *scores, *attention], title, columns)
    return f"visualized/query{number}_{label_stem(name.rsplit('.', 1)[0])}.jpg", sheet


def describe_maps(similarity: Similarity) -> list[str]:
    """Say for each picture where it is similar and where different; in one sentence without a map."""
    if similarity.state == "same":
        return ["The two are identical to the model, so there is nothing to compare."]
    if similarity.state == "indistinct":
        return ["The two differ about as little as a picture and its mirror image: there is nothing to explain."]
    if similarity.state != "ok":
        return [f"There is no map: {similarity.state}. Try another layer or method."]
    lines = []
    for side in similarity.sides:
        alike, apart = (plain_text(words) for words in describe_places(side))
        lines.append(f"{side.image.name}: similar {alike}; different {apart}.")
    return lines


def ranking_rows(ranked: Ranking) -> list[Json]:
    """Return a row for each picture of a gallery, most similar first."""
    return [
        {"rank": i + 1, "picture": hit.item.key, "label": hit.item.label or "", "score": hit.score}
        for i, hit in enumerate(ranked.hits)
    ]


def ranking_file(ranked: Ranking) -> File:
    """Return ranking.csv, a row for each picture of a gallery."""
    return "ranking.csv", table.csv(ranking_rows(ranked)).encode()


def evaluation_files(evaluation: Evaluation) -> Iterator[File]:
    """Yield report.json and queries.csv of a re-identification evaluation."""
    yield "report.json", to_json(evaluation.summary()).encode()
    rows = [
        {
            "query": query.item.key,
            "average_precision": query.average_precision,
            "rank_of_first_right": query.first_right,
            "first": query.top[0][0].key,
            "first_score": query.top[0][1],
        }
        for query in evaluation.queries
    ]
    yield "queries.csv", table.csv(rows).encode()


def _title(similarity: Similarity) -> str:
    words = LEGEND if similarity.state == "ok" else describe_maps(similarity)[0]
    return f"Similarity {signed(similarity.score)}. {words}"


def _draw_sheet(panels: Panels, captions: list[str], title: str, columns: int = 2) -> bytes:
    captions = [plain_text(caption) for caption in captions]
    return to_jpeg(contact_sheet(panels, captions, columns=columns, height=480, title=plain_text(title), names=True))


def arrays(similarity: Similarity) -> dict[str, NDArray[np.float32]]:
    """Return each picture's signed map, float32 (h, w) at the input's size, its raw maps by layer and its embedding."""
    named: dict[str, NDArray[np.float32]] = {}
    for name, side in zip(("query", "gallery"), similarity.sides, strict=True):
        named |= {name: side.geometry.to_input(side.signed), f"{name}_vector": side.vector}
        named |= {f"{name}_raw_{layer}": raw for layer, raw in zip(similarity.layers, side.raw, strict=True)}
    return named
