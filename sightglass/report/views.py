"""Make views of what the pages show."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.explain.maps.statistics import share_difference
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, kinds, listing, milliseconds, percent, quantity
from sightglass.explain.rendering.style import Box as Corners
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.trust.diagnosis import SAME_PLACE, agreement_sentence, describe, describe_independent
from sightglass.report import charts
from sightglass.report.view import (
    MAX_BOXES,
    MAX_MADE,
    MAX_PICTURES,
    MAX_SENTENCE,
    MAX_TITLE,
    Box,
    Map,
    Picture,
    ScoreBar,
    View,
    shorten,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.picture.image import Image
    from sightglass.explain.result import Result
    from sightglass.explain.tasks import Task
    from sightglass.explain.tasks.parts import Change
    from sightglass.models.adapter import Prediction

TIMED = "The median of ten passes of each model, in turns; the bars reach from the fastest to the slowest."
MAX_WORDS = 9
"""Maximum words of a title."""


def new_view(
    pictures: Sequence[Picture], *, title: str, sentence: str = "", day: date | None = None, **more: Any
) -> View:
    """Return a view with long texts cut at a word; `day`: by default today; `more`: other fields."""
    day = day or date.today()
    texts = shorten(title, MAX_TITLE), shorten(sentence, MAX_SENTENCE)
    return View(*texts, tuple(pictures), date=f"{day.day} {day:%b %Y}", **more)


def explained_picture(result: Result, index: int = 0, *, name: str = "") -> Picture:
    """Return the picture of a result with a model's answers and the map at `index`, where there is one.

    >>> from sightglass import Explainer
    >>> explained_picture(Explainer()("bus.jpg", top_k=1)).map.label
    'minibus'
    """
    return Picture.of(
        result.image,
        name or result.model.name,
        map=make_map(result, index) if index < len(result.heatmaps) else None,
        answers=list_answers(result.task, result.predictions),
        boxes=explained_boxes(result, index),
    )


def explained_boxes(result: Result, index: int) -> tuple[Box, ...]:
    """Return the boxes over a result's picture."""
    explained = result.own(index) if index < len(result.heatmaps) else ()
    return list_boxes(result.task, result.predictions, explained, (result.image.width, result.image.height))


def list_answers(task: Task, predictions: Sequence[Prediction]) -> tuple[tuple[str, float], ...]:
    """Return the answers that a slide lists: all boxes of a detector, five of a classifier.

    There are none where scores are no confidences: on a slide any score reads as one.
    """
    count = max(5, sum(prediction.box is not None for prediction in predictions[:MAX_BOXES]))
    return tuple((p.label[:200], as_share(p.score)) for p in predictions[:count]) if task.sure else ()


def list_boxes(
    task: Task, predictions: Sequence[Prediction], explained: Sequence[Prediction], size: tuple[int, int]
) -> tuple[Box, ...]:
    """Return the boxes over a picture; `explained`: those that its map is of, which may be among the predictions."""
    boxed = [prediction for prediction in dict.fromkeys((*predictions, *explained)) if prediction.box is not None]
    return tuple(
        Box(
            tuple((x / size[0], y / size[1]) for x, y in prediction.outline),
            f"{prediction.label} {task.wording.text(prediction.score)}"[:200],
            prediction in explained,
        )
        for prediction in boxed[:MAX_BOXES]
    )


def make_map(result: Result, index: int) -> Map:
    """Return the map at `index` of a result, with the score of its answer where that says how sure the model is."""
    heatmap, (label, score) = result.heatmaps[index], result.task.wording.describe_saved(result, index)
    ends, _ = describe_bar(heatmap, result.model.unit_of(heatmap.target.label))
    return Map(label[:200], heatmap.field, as_share(score) if score is not None and result.task.sure else None, ends)


def name_answer(picture: Picture, *, map: bool = True, model: bool = True) -> str:
    """Return a caption: the answer of a picture's map, or its first, with the model's name."""
    if map and picture.map is not None:
        label, score = picture.map.label, picture.map.score
    elif picture.answers:
        label, score = picture.answers[0]
    else:
        return picture.name
    answer = label if score is None else f"{label} {percent(score)}"
    return f"{picture.name}: {answer}" if model else answer


def as_share(value: float) -> float:
    """Return a score within 0..1, in five digits."""
    return round(min(max(float(value), 0.0), 1.0), 5)


def made_by(results: Sequence[Result], index: int = 0) -> str:
    """Return models and method, `EfficientNet-Lite0 · HiResCAM`."""
    models = list(dict.fromkeys(result.model.name for result in results))
    first = results[0]
    used = first.heatmaps[index].method if index < len(first.heatmaps) else ""
    return " · ".join(filter(None, (listing(models), METHODS[used].name if used in METHODS else used)))[:MAX_MADE]


def statement(*texts: str) -> str:
    """Return the first short text as a title, else the last, cut."""
    cut = f"{' '.join(texts[-1].split(' ')[:MAX_WORDS]).rstrip(',;:')}…"
    words = next((text for text in texts if text and len(text.split(" ")) <= MAX_WORDS), cut)
    return shorten(capital(words.strip().removesuffix(".")), MAX_TITLE)


def answer_title(task: Task, predictions: Sequence[Prediction], otherwise: str) -> str:
    """Return an answer as a title: `Minibus, 62 %`, else `otherwise`."""
    if not predictions or not task.sure:
        return statement(otherwise)
    if predictions[0].box is not None:
        counts = Counter(prediction.label for prediction in predictions).most_common()
        return statement(*(kinds(counts, most) for most in (3, 2, 1)))
    best = predictions[0]
    return statement(f"{'' if task.is_sure(best.score) else 'Unsure: '}{best.label}, {percent(best.score)}")


def display_of(look: Mapping[str, Any] | None) -> Style:
    """Return how a view is drawn first from the viewer's settings."""
    style = Style.of(look or {})
    # Fully dark, a spotlight is a black slide.
    return replace(style, alpha=min(style.alpha, 0.6) if style.mode == "spotlight" else style.alpha, cells=False)


def describe_bar(heatmap: Heatmap, unit: str = "") -> tuple[tuple[str, str, str], str]:
    """Return the colour bar's three labels and their meaning."""
    scaling, many = "scaled to its own maximum", len(heatmap.layers)
    if many > 1:
        scaling = f"mean of {many} layers, each {scaling}"
    if heatmap.signed:
        first, last = ("", "") if heatmap.ends is None else (f" {quantity(end, unit)}" for end in heatmap.ends)
        return (f"lowers{first}", "0", f"raises{last}"), "raw value" if heatmap.ends else scaling
    if heatmap.ends is not None:
        low, high = heatmap.ends
        return (quantity(low), quantity((low + high) / 2), quantity(high)), "raw value, negative values cut off"
    return ("0", "0.5", "1"), scaling


def map_view(result: Result, index: int = 0, look: Mapping[str, Any] | None = None) -> View:
    """Return the view of one picture and its map at `index`, with the map's proof if it has one.

    `look`: the viewer's settings by name.

        map_view(Explainer()("bus.jpg"), look={"mode": "contour"}).title
    """
    proof, description = result.proofs.get(index), describe(result, index=index)
    # A map that hardly depends on the weights shows nothing that another sentence could say.
    independent = describe_independent(result, index) if index < len(result.heatmaps) else ""
    return new_view(
        [explained_picture(result, index)],
        title=answer_title(result.task, result.predictions, description.title),
        sentence=independent or (proof.sentence if proof else description.slide()),
        charts=(charts.describe_proof(proof),) if proof else (),
        display=display_of(look),
        made=made_by([result], index),
    )


def _difference(image: Image, values: NDArray[np.float32], result: Result, seen: Corners | None) -> Picture:
    """Return the picture under the difference of two maps.

    `values`: float32 (h, w) in -1..1. `seen`: what both models saw, xyxy in pixels; None: what the result's saw.
    """
    geometry = result.evidence.geometry
    field = Field(values, seen or geometry.extent, seen or geometry.seen, "difference")
    return Picture.of(image, "Difference", Map("", field), caption="Difference")


def classes_view(
    explanation: Explanation, pair: tuple[int, int] | None = None, look: Mapping[str, Any] | None = None
) -> View:
    """Return the view of several classes' maps, a picture each; `pair`: two indices whose difference is shown."""
    # Of more than three, none would be large.
    indices = list(pair or range(len(explanation.heatmaps)))[:3]
    if len(indices) < 2:
        return map_view(explanation, 0, look)
    maps = [explanation.heatmaps[index] for index in indices]
    labels, difference = [heatmap.target.label for heatmap in maps], None
    if pair is not None:
        values = share_difference(maps[0].strength, maps[1].strength)
        difference = _difference(explanation.image, values, explanation, None)
    agreement = agreement_sentence(explanation, pair)
    where = "the same place" if explanation.overlap(indices[0], indices[1]) >= SAME_PLACE else "different places"
    return _side_by_side(
        [(explanation, index, label) for index, label in zip(indices, labels, strict=True)],
        difference,
        display_of(look),
        model=False,
        sides=tuple(f"more {label}" for label in labels if difference),
        title=statement(agreement, f"{listing(labels[:2])}: {where}"),
        sentence=agreement,
        made=made_by([explanation]),
    )


def _side_by_side(
    maps: Sequence[tuple[Result, int, str]], difference: Picture | None, display: Style, *, model: bool, **more: Any
) -> View:
    """Return the view of several maps, a picture each: (result, index, name of the picture).

    `difference`: of two of them; `model`: whether captions name the pictures, too.
    """
    pictures = [explained_picture(result, index, name=name) for result, index, name in maps]
    mapped = display.mode != "picture"
    pictures = [replace(item, caption=name_answer(item, map=mapped, model=model)) for item in pictures]
    proofs = [(place, proof) for place, (result, index, _) in enumerate(maps) if (proof := result.proofs.get(index))]
    return new_view(
        [*pictures, *([difference] if difference else [])],
        charts=tuple(charts.describe_proof(proof, place) for place, proof in proofs[:1]),
        display=display,
        **more,
    )


def models_view(comparison: Comparison, names: Sequence[str], look: Mapping[str, Any] | None = None) -> View:
    """Return the view of several models on one picture, each with its map, in their order; `names`: short ones."""
    results, difference = comparison.explanations[: MAX_PICTURES - 1], None
    verdict, ends = comparison.verdict, comparison.ends
    agreement = verdict.partition(";")[0].partition(". ")[0] if verdict.startswith(("Both ", "All ")) else ""
    long_verdict = verdict if len(verdict.split()) > MAX_WORDS else ""
    if ends is not None:
        values = share_difference(*(comparison.maps[i] for i in ends))
        difference = _difference(results[0].image, values, results[0], comparison.common)
    return _side_by_side(
        [(result, 0, name) for name, result in zip(names, results, strict=False)],
        difference,
        display_of(look),
        model=True,
        sides=tuple(f"more {names[i]}" for i in ends or ()),
        title=statement(verdict, agreement, f"{comparison.label or 'What they see'} by {len(results)} models"),
        sentence=" ".join(filter(None, (long_verdict, comparison.overlaps, comparison.mixed))),
        made=made_by(results),
    )


def comparison_views(comparison: Comparison, names: Sequence[str], sizes: Sequence[int | None]) -> Iterator[View]:
    """Yield the slide of several models on one picture, of their times and sizes in bytes, and of each model's map."""
    view = models_view(comparison, names)
    yield view
    yield _costs_view(comparison, names, sizes, view.made)
    for name, result in zip(names, comparison.explanations, strict=True):
        # The title says what the map is of, which need not be the model's first answer.
        yield replace(map_view(result), title=statement(name_answer(explained_picture(result, name=name))))


def _costs_view(comparison: Comparison, names: Sequence[str], sizes: Sequence[int | None], made: str) -> View:
    """Return the slide of times and sizes: a chart, or words where the times cannot be told."""
    title = "Time and size"
    weights = [quantity(size / 1e6, "MB") if size else "" for size in sizes]
    if not comparison.steady:
        told = zip(names, comparison.times, weights, strict=True)
        lines = [f"{name}: {', '.join(filter(None, (f'one pass {time}', size)))}" for name, time, size in told]
        return new_view([], title=title, sentence="\n".join(lines), kind="text", made=made)
    bars = []
    for name, time, size in zip(names, comparison.timings, weights, strict=True):
        text = ", ".join(filter(None, (milliseconds(time.median), size)))
        bars.append(ScoreBar(name, text, time.median, time.fastest, time.slowest))
    return new_view([], title=title, sentence=TIMED, scores=tuple(bars), axis="ms of one pass", made=made)


def change_view(before: Explanation, after: Explanation, changes: Sequence[Change], title: str) -> View:
    """Return the view of an edited picture: before, covered, after; with the scores of the class of the map.

    `title`: says the edit, where the change of the score is too long for a title.
    """
    label = before.heatmaps[0].target.label if before.heatmaps else changes[0].label if changes else ""
    change = next((candidate for candidate in changes if candidate.label == label), None)
    scores = (("Before", change.before), ("After", change.after)) if change is not None else ()
    unit = before.model.unit_of(label)
    facts = tuple(f"{name} {before.task.wording.text(score or 0.0, unit)}" for name, score in scores)
    pictures = [_without_answers(before, f"Before: {label}"), Picture.of(after.image, "Covered", caption="Covered")]
    if after.heatmaps:
        pictures.append(_without_answers(after, f"After: {label}"))
    return new_view(
        pictures,
        title=statement(_describe_change(before, change), title),
        sentence=title,
        facts=facts,
        made=made_by([before]),
    )


def _without_answers(result: Result, name: str) -> Picture:
    """Return a picture under its map; its answers could be read as those of the other picture."""
    return replace(explained_picture(result), name=name[:200], caption=name, answers=(), boxes=())


def _describe_change(before: Explanation, change: Change | None) -> str:
    """Describe a score's change: `minibus falls from 62 % to 21 %`."""
    if change is None or change.before is None or change.after is None:
        return ""
    unit = before.model.unit_of(change.label)
    first, last = (before.task.wording.text(score, unit) for score in (change.before, change.after))
    if first == last:
        return f"{change.label} stays at {first}"
    return f"{change.label} {'falls' if change.after < change.before else 'rises'} from {first} to {last}"


def gallery_view(title: str, sentence: str, pictures: Sequence[Picture], made: str) -> View:
    """Return the view of a run over many pictures, with some of them."""
    if not pictures:
        raise Problem("There is no picture to show: choose some.")
    short = statement(title, title.partition(";")[0])
    if short != capital(title):
        sentence = f"{title}. {sentence}"
    return new_view(pictures[:MAX_PICTURES], title=short, sentence=sentence, made=made[:MAX_MADE])
