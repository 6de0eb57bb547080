"""Records of two compared pictures."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.explain.maps import statistics
from sightglass.explain.maps.statistics import describe_place
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.recipe import versions
from sightglass.explain.rendering import render
from sightglass.explain.similarity.ranking import Context
from sightglass.explain.similarity.similarity import CellEdges, ComparedImage, Matches, Pair, Similarity, State
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.diagnosis import CROPPED
from sightglass.export import similarity_files
from sightglass.export.embedded_recipe import Look
from sightglass.history import encoding, rows
from sightglass.history.records import MapInfo, RecordBody, RecordComparison, SavedPair
from sightglass.history.store import Blob
from sightglass.models.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.maps.statistics import Agreement
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.ranking import Ranking
    from sightglass.history.records import Record, SavedMap


_SAVED = ("of", "state", "preprocessing", "subject", "weights_sha256", "device")
"""What a record keeps of a comparison as it is."""
MAX_RANKED = 200
"""Maximum number of a gallery's names in a record."""
GAP = 4
"""Pixels between the two pictures of a thumbnail."""


def encode(found: Similarity, context: Context | None, ranking: Ranking | None) -> encoding.EncodedRecord:
    """Encode a comparison with pictures, maps and matches."""
    image = found.gallery.image
    other = encoding.picture(image)
    hits = ranking.hits[:MAX_RANKED] if ranking is not None else ()
    pair = SavedPair(
        **{name: getattr(image, name) for name in ("name", "sha256", "width", "height")},
        **{name: getattr(found, name) for name in _SAVED},
        file=other.name,
        versions=versions(),
        matches=tuple((pair.query, pair.gallery, pair.score) for pair in found.matches.pairs),
        unrelated=context.unrelated if context is not None else (),
        mirrored=context.mirrored if context is not None else None,
        compares=context.subject if context is not None else "pictures",
        caution=context.caution if context is not None else "",
        # A query's gallery of one picture ranks nothing.
        ranking=tuple((hit.name, hit.score) for hit in hits) if len(hits) > 1 else (),
    )
    body = RecordBody(
        headline=similarity_files.headline(found, context),
        layers=found.layers,
        predictions=(),
        labels=tuple(side.image.name for side in found.sides),
        index=0,
        score=found.score,
        statistics=found.query.statistics[0],
        findings=(),
        recipe=None,
        view=Look(automatic=found.automatic),
        notes=found.notes,
        screen="similarity",
        pair=pair,
    )
    maps = tuple(_map(found, place) for place in range(2))
    return encoding.EncodedRecord(body, maps, Blob.of(_thumbnail(found), "jpg"), frozenset(), (other,))


def _map(similarity: Similarity, place: int) -> tuple[MapInfo, Blob]:
    side, grid = similarity.sides[place], (similarity.matches.query, similarity.matches.gallery)[place]
    sentences = similarity_files.places(similarity)
    arrays: dict[str, NDArray[Any]] = {"values": np.asarray(side.signed, np.float32)}
    arrays |= {f"raw {layer}": np.asarray(raw, np.float32) for layer, raw in enumerate(side.raw)}
    # The file holds arrays of two axes or three.
    rows_ = {"vector": side.vector, "down": grid.down, "across": grid.across}
    arrays |= {name: np.asarray(array, np.float32)[None] for name, array in rows_.items()}
    if place == 0:
        arrays["cells"] = np.asarray(similarity.matches.scores, np.float32)
    info = MapInfo(
        label=side.image.name,
        score=None,
        ends=None,
        geometry=side.geometry,
        method=similarity.method,
        layers=similarity.layers,
        scale="shared",
        state=similarity.state if similarity.state in ("ok", "no evidence", "not a number") else "flat",
        statistics=side.statistics[0],
        looks=sentences[place % len(sentences)],
    )
    return info, Blob.of(encoding.pack(arrays), "maps")


def _thumbnail(similarity: Similarity) -> bytes:
    """Return both overlays side by side as a JPEG."""
    pictures = similarity_files.draw_pair(similarity, unseen="keep")
    if similarity.subject != "persons":
        pictures = [encoding.grey_out(tile, side.seen) for tile, side in zip(pictures, similarity.sides, strict=True)]
    drawn = [Pillow.fromarray(pixels) for pixels in pictures]
    aspects = [tile.width / tile.height for tile in drawn]
    height = max(1, round((encoding.SIDE - GAP) / sum(aspects)))
    # Two narrow pictures are as high as one alone may be.
    height = min(height, encoding.SIDE)
    small = [tile.resize((max(1, round(height * aspect)), height)) for tile, aspect in zip(drawn, aspects, strict=True)]
    canvas = Pillow.new("RGB", (sum(tile.width for tile in small) + GAP, height), (encoding.GREY,) * 3)
    canvas.paste(small[0], (0, 0))
    canvas.paste(small[1], (small[0].width + GAP, 0))
    return to_jpeg(np.asarray(canvas), 80)


def restore(record: Record, images: tuple[Image, Image], maps: Sequence[tuple[str, int, bytes]]) -> Similarity:
    """Return `encode`'s comparison; `maps`: (description, checksum, file) each.

    Raises Problem where a map is damaged.
    """
    pair = record.pair
    assert pair is not None
    sides, grids, scores = [], [], None
    try:
        if len(maps) != len(images) or pair.state not in get_args(State):
            raise ValueError("not the maps of a pair")
        for image, (described, crc, data) in zip(images, maps, strict=True):
            info, arrays = rows.read(MapInfo, described, crc), encoding.unpack(data)
            raw = tuple(arrays[f"raw {layer}"] for layer in range(len(info.layers)))
            sides.append(ComparedImage(image, info.geometry, arrays["vector"][0], raw, arrays["values"]))
            grids.append(CellEdges(arrays["down"][0], arrays["across"][0]))
            scores = arrays.get("cells", scores)
        if scores is None:
            raise ValueError("no cells")
    except (ValueError, KeyError, RecursionError) as error:
        raise Problem(rows.DAMAGED_MAP) from error
    matches = Matches(grids[0], grids[1], scores, tuple(Pair(*match) for match in pair.matches))
    return Similarity(
        # It may have left the catalogue since.
        ModelSpec(record.model, "", "", "", "", record.task, ""),
        sides[0],
        sides[1],
        record.score if record.score is not None else float("nan"),
        record.method,
        record.layers,
        pair.of,
        pair.preprocessing,
        pair.state,  # type: ignore[arg-type]  # checked above
        matches,
        pair.subject,
        record.notes,
        pair.weights_sha256,
        pair.device,
        record.view.automatic,
    )


def context_of(record: Record) -> Context | None:
    """Return a pair's reference scores, or None."""
    pair = record.pair
    if pair is None or pair.mirrored is None:
        return None
    return Context(pair.unrelated, pair.mirrored, pair.compares, pair.caution)


def command(record: Record) -> str:
    """Return the command to compare the pictures again."""
    pair = record.pair
    assert pair is not None
    names = [f"./{name}" if name.startswith("-") else name for name in (record.picture_name, pair.name)]
    words = ["similarity", *names, "--model", record.model, "--method", record.method]
    words += ["--target-layers", ",".join(record.layers)]
    words += [] if pair.of == "cosine" else ["--of", pair.of]
    words += [] if pair.preprocessing == "trained" else ["--preprocessing", pair.preprocessing]
    return shlex.join(["sightglass", *words])


Box = tuple[int, int, int, int]
ALIKE, APART = 0.6, 0.3
"""Overlap of the hottest fifths: from ALIKE two maps look at the same place, below APART at different ones."""


def compare(one: Record, other: Record, maps: Sequence[SavedMap], other_maps: Sequence[SavedMap]) -> RecordComparison:
    """Compare two records' selected maps; raise Problem for a pair."""
    if one.pair or other.pair:
        raise Problem("A comparison of two pictures cannot be compared with another record: open each by itself.")
    first, second = _select(one, maps), _select(other, other_maps)
    same = one.picture_sha256 == other.picture_sha256
    numbers = (one.statistics, other.statistics)
    words = [sentence for sentence in (_answers(one, other), *_places((one, first), (other, second))) if sentence]
    seen = None
    if not same:
        size = "" if (one.width, one.height) != (other.width, other.height) else ", though of one size"
        why = f"These are two pictures{size}", "their maps cannot be laid over each other, so compare their numbers."
    elif first is None or second is None:
        why = (
            f"It is one picture, but {'neither has a map' if first is second else 'only one has a map'} to compare",
            "",
        )
    elif (seen := common(first.seen, second.seen)) is None:
        why = "It is one picture, and no part of it was seen by both models", ""
    if seen is None or first is None or second is None:
        return RecordComparison(one, other, same, None, None, None, numbers, *why, tuple(words))
    a, b = grid(first, seen), grid(second, seen)
    agreement, difference = statistics.compare(a, b), render.share_difference(a, b)
    # Of a map that random weights draw as well, nobody looked anywhere.
    verb = "their maps mark" if any(_shows_else(record) for record in (one, other)) else "they look at"
    why = _agree(first, second, agreement, verb)
    return RecordComparison(one, other, same, agreement, difference, seen, numbers, *why, tuple(words))


def _shows_else(record: Record) -> bool:
    seal = record.checks_of(record.index)
    return seal is not None and bool(seal.shows)


def common(one: Box, other: Box) -> Box | None:
    """Return the boxes' intersection, or None."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def grid(found: SavedMap, seen: Box) -> NDArray[np.float32]:
    """Return a map's part, float32 (h, w), at most 320 cells."""
    left, top, right, bottom = seen
    geometry = found.geometry
    values = np.clip(geometry.to_original(geometry.to_input(found.measured)), 0, 1)
    return statistics.coarse(values[top:bottom, left:right])


def _select(record: Record, maps: Sequence[SavedMap]) -> SavedMap | None:
    return maps[record.index] if record.index < len(maps) and maps[record.index].state == "ok" else None


def _agree(first: SavedMap, second: SavedMap, agreement: Agreement, verb: str) -> tuple[str, str]:
    overlap = agreement.iou_top20
    if np.array_equal(first.measured, second.measured) and first.geometry == second.geometry:
        return "It is one picture, and the two maps are the same in every cell", ""
    where = (
        "the same place" if overlap >= ALIKE else "other places" if overlap < APART else "places that partly overlap"
    )
    return (
        f"It is one picture, and {verb} {where}",
        f"the hottest fifths of the two maps overlap by {percent(overlap)}. "
        f"Their order of warm and cold agrees by {agreement.rank_correlation:.2f} (1 is the same, 0 is chance).",
    )


def _answers(one: Record, other: Record) -> str:
    first, second = best = [next(iter(record.predictions), None) for record in (one, other)]
    tasks = [task_of(record.task) for record in (one, other)]
    if not any(task.names_classes for task in tasks):
        return ""
    scores = [task.text(answer.score) if answer else "" for task, answer in zip(tasks, best, strict=True)]
    if first and second and first.label == second.label:
        return f"Both say {first.label}: {scores[0]} and {scores[1]}."
    parts = [f"{answer.label} ({score})" if answer else "nothing" for answer, score in zip(best, scores, strict=True)]
    return f"The first says {parts[0]}, the second {parts[1]}."


def _places(*both: tuple[Record, SavedMap | None]) -> tuple[str, ...]:
    """Return a sentence on each map's hottest place."""
    sentences = []
    for name, (record, looked) in zip(("first", "second"), both, strict=True):
        if looked is None or not looked.statistics.regions:
            continue
        place = describe_place(looked.statistics, looked.seen, (record.width, record.height))
        left, top, right, bottom = looked.seen
        unseen = 1 - (right - left) * (bottom - top) / (record.width * record.height)
        part = "of the visible area" if unseen >= CROPPED else "of the picture"
        half = percent(looked.statistics.half_heat_area)
        of = "it" if _shows_else(record) else "its evidence"
        sentences.append(f"The {name} ({record.label}) is hottest {place}: half of {of} is on {half} {part}.")
    return tuple(sentences)
