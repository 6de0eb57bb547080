"""Make the slides of a finished run: its decision, what changes, one proved map, and its limits."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest

from sightglass import explain
from sightglass.batch import finished, journal, table
from sightglass.batch.finished import Result
from sightglass.common.errors import Problem
from sightglass.evaluation.decision import Decision
from sightglass.explain.phrases import listing, plural, quantity
from sightglass.explain.picture.image import Image
from sightglass.report import views
from sightglass.report.view import MAX_PICTURES, MAX_SENTENCE, ScoreBar, View, shorten

EXAMPLES = 3
"""Pictures of what a model loses, and of what it gains."""
STEPS = 10
"""Of the curves of the proved map."""


def make_deck(result: Result, open_picture: Callable[[str], Image]) -> Iterator[View]:
    """Yield the slides, made one by one; all their sentences are of the result. Raises Problem.

    `open_picture` opens a picture by its key.
    """
    decision, (title, words) = result.decision, finished.describe(result)
    place = 0 if decision is None else result.names.index(decision.compared.model)
    plan, left_out = result.plans[place], shorten(decision.left_out if decision else result.left_out, MAX_SENTENCE)
    rows = {row["picture"]: row for row in finished.list_rows(result.frames[place])}
    scores = table.read_scores(plan.folder)
    if decision is None:
        proved = next((key for key, row in rows.items() if row["wrong"]), next(iter(rows)))
        tiles = [finished.tile(rows[key], open_picture(key), scores) for key in [*rows][:MAX_PICTURES]]
        yield replace(views.gallery_view(title.removesuffix("."), words, tiles, result.names[0]), left_out=left_out)
    else:
        yield _draw_scores(decision, left_out)
        for objects, gained in zip(decision.exchanged[::-1], (False, True), strict=True):
            models = decision.compared.model, decision.reference.model
            right, wrong = models if gained else models[::-1]
            counts = Counter(str(row["label"]) for row in objects).most_common()
            by_class = [[row for row in objects if row["label"] == label] for label, _ in counts]
            # One of each class first, and no picture twice.
            ranked = {row["picture"]: row["label"] for turn in zip_longest(*by_class) for row in turn if row}
            tiles = [
                replace(
                    finished.tile(rows[key], open_picture(key), scores),
                    caption=f"{label}: {right} right, {wrong} wrong",
                )
                for key, label in [*ranked.items()][:EXAMPLES]
            ]
            proved = next(iter(ranked), next(iter(rows))) if not gained else proved
            if tiles:
                classes = listing([f"{label} {count:,}" for label, count in counts], EXAMPLES)
                title = f"{len(objects):,} right by {right} and wrong by {wrong}"
                sentence = f"{decision.exchange} Of these {len(objects):,}: {classes}."
                made = f"Maps: {result.names[place]}"
                yield views.new_view(tiles, title=views.statement(title), sentence=sentence, made=made)
    # A model without gradients, or a picture without an answer, has no map to prove.
    with contextlib.suppress(Problem):
        recipe = table.recipe(journal.settings_of(plan.folder), rows[proved])
        explanation = explain.replay(recipe, open_picture(proved))
        explanation.prove(0, steps=STEPS)
        yield views.map_view(explanation)
    judged, *others = decision.limits if decision else (plural(len(rows), "picture"), words, left_out)
    sentence = "\n".join(filter(None, others))
    yield views.new_view([], title=judged.removesuffix("."), sentence=sentence, kind="text")


def _draw_scores(decision: Decision, left_out: str) -> View:
    """Return the slide of the decision, with a chart of the models' scores."""
    bars = []
    for row in decision.rows:
        text = ", ".join([row.text, *([quantity(row.size / 1e6, "MB")] if row.size else [])])
        score = row.score
        # The pictures of some batches are no random sample, so they have no interval.
        ends = (score.value, score.value) if decision.stopped else (score.low, score.high)
        bars.append(ScoreBar(row.model, text, score.value, *ends))
    title = views.statement(decision.headline, decision.headline.partition(";")[0])
    return views.new_view([], title=title, sentence=decision.comparison, scores=tuple(bars), left_out=left_out)
