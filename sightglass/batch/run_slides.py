"""Slides of finished runs over the same pictures: the decision, what a model loses and gains, and a proved map."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from sightglass.batch import journal, table
from sightglass.batch.finished import Result, describe, list_rows
from sightglass.batch.run_charts import read_charts
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.evaluation.charts import ClassScore, ClassScores
from sightglass.evaluation.decision import Decision
from sightglass.explain import replay
from sightglass.explain.phrases import listing, plural, quantity
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.style import Field
from sightglass.report import views
from sightglass.report.view import MAX_PICTURES, MAX_SENTENCE, Map, Picture, ScoreBar, View, shorten

SIDE = 1600
"""Maximum pixels of the longer side of a picture on a slide."""
EXAMPLES = 3
"""Pictures of what a model loses, and of what it gains."""
CLASSES = 6
"""Most classes of the slide of their scores."""
STEPS = 10
"""Steps of the curves of the proved map."""


def make_deck(result: Result, open_picture: Callable[[str], Image]) -> Iterator[View]:
    """Yield the slides, made one by one; all their sentences are of the result. Raises Problem.

    `open_picture` opens a picture by its key.
    """
    decision, (title, words) = result.decision, describe(result)
    place = 0 if decision is None else result.names.index(decision.compared.model)
    plan, left_out = result.plans[place], shorten(decision.left_out if decision else result.left_out, MAX_SENTENCE)
    rows = {row["picture"]: row for row in list_rows(result.frames[place])}
    scores = table.read_scores(plan.folder)

    def draw(key: str) -> Picture:
        return draw_tile(rows[key], open_picture(key), scores)

    if decision is None:
        proved = next((key for key, row in rows.items() if row["wrong"]), next(iter(rows)))
        pictures = list(map(draw, [*rows][:MAX_PICTURES]))
        yield replace(views.gallery_view(title.removesuffix("."), words, pictures, result.names[0]), left_out=left_out)
    else:
        gained, lost = decision.exchanged
        proved = next(iter(_choose_examples(lost)), next(iter(rows)))
        yield _draw_scores(decision, left_out)
        if lost:
            yield _draw_exchange(decision, lost, decision.reference.model, decision.compared.model, draw)
        if gained:
            yield _draw_exchange(decision, gained, decision.compared.model, decision.reference.model, draw)
    if (classes := _draw_classes(result, place)) is not None:
        yield classes
    # A model without gradients, or a picture without an answer, has no map to prove.
    with contextlib.suppress(Problem):
        explanation = replay(table.recipe(journal.settings_of(plan.folder), rows[proved]), open_picture(proved))
        explanation.prove(0, steps=STEPS)
        yield views.map_view(explanation)
    judged, *others = decision.limits if decision else (plural(len(rows), "picture"), words, left_out)
    yield views.new_view([], title=judged.removesuffix("."), sentence="\n".join(filter(None, others)), kind="text")


def _choose_examples(objects: Sequence[Json]) -> dict[str, str]:
    """Return the pictures of objects, each with a label: one picture of each class first, most frequent class first."""
    counts = Counter(str(row["label"]) for row in objects).most_common()
    by_class = [[row for row in objects if row["label"] == label] for label, _ in counts]
    return {row["picture"]: row["label"] for turn in zip_longest(*by_class) for row in turn if row}


def _draw_exchange(
    decision: Decision, objects: Sequence[Json], right: str, wrong: str, draw: Callable[[str], Picture]
) -> View:
    """Return the slide of the objects that the model `right` has right, and `wrong` has wrong."""
    pictures = [
        replace(draw(key), caption=f"{label}: {right} right, {wrong} wrong")
        for key, label in [*_choose_examples(objects).items()][:EXAMPLES]
    ]
    counts = Counter(str(row["label"]) for row in objects).most_common()
    named = [f"{label} {count:,}" for label, count in counts[:EXAMPLES]]
    others = sum(count for _, count in counts[EXAMPLES:])
    classes = listing([*named, f"{others:,} of other classes"] if others else named)
    return views.new_view(
        pictures,
        title=views.statement(f"{len(objects):,} right by {right} and wrong by {wrong}"),
        sentence=f"{decision.exchange} Of these {len(objects):,}: {classes}.",
        made=f"Maps: {decision.compared.model}",
    )


def draw_tile(row: Json, image: Image, scores: table.Scores) -> Picture:
    """Return a row's picture with answer and map."""
    label = row["predicted"]
    sign = {False: "✓ ", True: "✗ "}.get(row["wrong"], "")
    name = f"{sign}{label} {scores.describe(row['predicted_score'], label)}" if label else f"{sign}nothing found"
    # Several large pictures at full size would take gigabytes.
    small, item = Image(image.thumbnail(SIDE), image.name), None
    if (cells := table.read_cells(row["cells"])) is not None:
        left, top, right, bottom = (round(row[edge]) for edge in table.SEEN)
        whole, size = (0, 0, image.width, image.height), (image.width, image.height)
        field = Field(cells.astype(np.float32) / np.float32(255), whole, (left, top, right, bottom))
        item = Map("", field.scaled(size, (small.width, small.height)))
    return Picture.of(small, name, item, caption=name)


def _draw_scores(decision: Decision, left_out: str) -> View:
    """Return the slide of the decision, with a chart of the models' scores."""
    title = views.statement(decision.headline, decision.headline.partition(";")[0])
    sizes = [f", {quantity(row.size / 1e6, 'MB')}" if row.size else "" for row in decision.rows]
    scores = tuple(replace(bar, text=bar.text + size) for bar, size in zip(list_bars(decision), sizes, strict=True))
    sentence = decision.comparison
    if not decision.reference.score.has_interval:
        pictures = plural(len(decision.reference.evaluation.pictures), "picture")
        why = f"{pictures} so far" if decision.stopped else f"{pictures} are too few"
        sentence = f"{sentence} The dots have no interval: {why}."
    return views.new_view([], title=title, sentence=sentence, scores=scores, left_out=left_out)


def _draw_classes(result: Result, model: int) -> View | None:
    """Return the slide of the classes with the lowest scores.

    None without labels, and for numbers.
    """
    chart = next((each for each in read_charts(result, model) if isinstance(each, ClassScores)), None)
    if chart is None or not chart.scores:
        return None
    chart = chart.keep_lowest(CLASSES)
    title = views.statement(f"{result.names[model]}: classes with the lowest {chart.number}")
    return views.new_view([], title=title, sentence=chart.note, scores=tuple(map(_draw_bar, chart.scores)))


def _draw_bar(each: ClassScore) -> ScoreBar:
    score = each.score
    return ScoreBar(each.name, f"{score.points} ({each.labelled:,})", score.value, *score.ends)


def list_bars(decision: Decision) -> list[ScoreBar]:
    """Return the models' scores with their intervals."""
    return [ScoreBar(row.model, row.text, row.score.value, *row.score.ends) for row in decision.rows]
