"""Report known-cause scores of pixel gradients, attention and queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report import differences, ends, grid, where
from benchmarks.truth.maps import QUESTIONS
from benchmarks.truth.measures import MEASURES
from benchmarks.truth.report import HEAD, NAMES
from benchmarks.truth.report import QUESTIONS as ASKED
from benchmarks.truth.scrambled import count_redrawn
from benchmarks.truth.verdict import DECIDING, Judged, countable, find
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from benchmarks.bootstrap import Line
    from benchmarks.truth.scores import Scores
    from benchmarks.truth.scrambled import Key

PART = {"where": "class", "why": "contrast"}
QUERY = "queryattention"
OWN_LAYER = ("pixel", "attention", "query")
SOURCES = {"the encoder": ("neck P3", "neck P4", "all neck outputs"), "the backbone": ("backbone P3", "SPPF")}
"""Where a gradient is taken, and how TRUTH.md calls these layers."""


def judge(of: Scores, question: str) -> Judged:
    """Return a model's scores at a question, on the objects that count there."""
    return Judged([of], question, countable(question))


def lines_of(judged: Judged) -> list[Line]:
    """Return the lines of methods with the part of the question; what knows no class has one."""
    wanted = PART[judged.question]
    return [
        line for line in judged.lines if line[2] == wanted or not METHODS[line[0]].per_class or METHODS[line[0]].reads
    ]


def findings(others: Sequence[Scores], queries: Scores) -> list[dict[str, Any]]:
    """Return a finding for each question and method that names its own layer, as the menus read them.

    Of `queries`, a detector whose boxes are queries, also of the others, at the default's layer: it is none of those
    that detectors' figures are of.
    """
    found = []
    for of in (*others, queries):
        for judged in (judge(of, question) for question in QUESTIONS):
            at = judged.default[1] if of is queries else None
            own = [line for line in lines_of(judged) if line[1] == at or METHODS[line[0]].family in OWN_LAYER]
            more = {"task": "query"} if of is queries else {}
            found += [find(judged, line) | more for line in own if sum(judged.objects)]
    # The first model of a task speaks for it.
    first = {(one["task"], one["question"], one["method"]): one for one in reversed(found)}
    return [one for one in found if first[one["task"], one["question"], one["method"]] is one]


def section(every: Sequence[Scores], redrawn: Mapping[Key, Counter[str]], at: Mapping[str, Any]) -> str:
    """Return the section on methods that name their own layer; `redrawn`: as `scrambled`; `at`: the machine."""
    rows = [row for of in every for question in QUESTIONS for row in _rows(judge(of, question))]
    parts = (
        "## Gradients of pixels, and attention",
        where(dict(at)),
        INTRODUCTION,
        grid(("model", "question", "method", "layers", "objects", *HEAD, ""), rows),
        "With redrawn weights, as under [Maps that depend on the model](#maps-that-depend-on-the-model):",
        count_redrawn(redrawn),
    )
    return "\n\n".join(parts) + "\n"


def _rows(judged: Judged) -> list[tuple[str, ...]]:
    model, question, objects = judged.models[0].model, ASKED[judged.question], f"{sum(judged.objects)}"
    ranked = [line for _, line in judged.ranked(lines_of(judged), MEASURES)]
    best = judged.strongest("hit")
    rows = []
    for line in (*ranked, best):
        name = METHODS[line[0]].name if line[0] in METHODS else f"baseline: {line[0]}"
        name += " (default)" if line == judged.default else ""
        fails = "**fails**" if line[0] in METHODS and _fails(judged, line) else ""
        rows.append((model, question, name, line[1], objects, *_numbers(judged, line), fails))
    return rows


def _fails(judged: Judged, line: Line) -> bool:
    return bool(find(judged, line)["fails"])


def _numbers(judged: Judged, line: Line) -> tuple[str, ...]:
    return tuple(ends(judged.interval(line, measure)) for measure in MEASURES)


def queries(of: Scores, scenes: int, at: Mapping[str, Any]) -> str:
    """Return the section on a detector whose boxes are queries; `at`: the machine."""
    parts = ["## A box that is a query", where(dict(at)), QUERIES.format(model=of.model, scenes=scenes)]
    for question in QUESTIONS:
        judged = judge(of, question)
        parts += [f"**{ASKED[question]}** {_verdict(judged)}", _table(judged), _by_layers(judged)]
    return "\n\n".join(parts) + "\n"


def _order(judged: Judged) -> list[Line]:
    return [line for _, line in judged.ranked(judged.lines, MEASURES)]


def _verdict(judged: Judged) -> str:
    """Return what follows, in a paragraph that claims only what the intervals show."""
    order = _order(judged)
    read = next(line for line in order if line[0] == QUERY)
    sources = {name: next(line for line in order if line[1] in at) for name, at in SOURCES.items()}
    best = order[0]
    said = [
        f"{sum(judged.objects)} boxes. Best mean rank of {len(order)}: {_name(best)}.",
        " ".join(
            f"The best gradient at {name}, {_name(line)}, has place {order.index(line) + 1} ({_short(judged, line)})."
            for name, line in sources.items()
        ),
        f"{_name(read)} has place {order.index(read) + 1} ({_short(judged, read)}); the best is "
        f"{differences(_apart(judged, best, read), NAMES)} from it.",
        f"Best baselines: {', '.join(f'{NAMES[m]} {judged.strongest(m)[0]}' for m in DECIDING)}; from them the best "
        f"is {differences(_over(judged, best), NAMES)}, what the query read "
        f"{differences(_over(judged, read), NAMES)}.",
    ]
    return " ".join(said)


def _apart(judged: Judged, line: Line, other: Line) -> dict[str, Any]:
    return {measure: judged.difference(line, other, measure) for measure in DECIDING}


def _over(judged: Judged, line: Line) -> dict[str, Any]:
    return {measure: judged.difference(line, judged.strongest(measure), measure) for measure in DECIDING}


def _short(judged: Judged, line: Line) -> str:
    return ", ".join(f"{NAMES[measure]} {judged.mean(line, measure):.2f}" for measure in DECIDING)


def _name(line: Line) -> str:
    method = METHODS[line[0]].name
    return f"**{method}**" if line[0] == QUERY else f"**{method} on {line[1]}**, {line[2]}"


def _table(judged: Judged) -> str:
    order = _order(judged)
    shown = order[:8]
    shown += [line for line in (judged.default, next(one for one in order if one[0] == QUERY)) if line not in shown]
    rows = [
        (
            "default" if line == judged.default else "",
            METHODS[line[0]].name,
            *line[1:],
            f"{order.index(line) + 1}",
            *_numbers(judged, line),
            "**fails**" if _fails(judged, line) else "",
        )
        for line in shown
    ]
    rows += [("baseline", line[0], "", "", "", *_numbers(judged, line), "") for line in judged.blind]
    return grid(("", "method", "layers", "target", "place", *HEAD, ""), rows)


def _by_layers(judged: Judged) -> str:
    of = [line for line in lines_of(judged) if line[0] != QUERY]
    layers = list(dict.fromkeys(line[1] for line in of))

    def cell(method: str, name: str) -> str:
        line = next(one for one in of if one[:2] == (method, name))
        return f"{judged.mean(line, 'hit'):.2f} / {judged.mean(line, 'auc'):.2f}"

    rows = [
        (METHODS[method].name, *(cell(method, name) for name in layers)) for method in dict.fromkeys(o[0] for o in of)
    ]
    return f"Hits / AUC by layers, target {PART[judged.question]}:\n\n" + grid(("method", *layers), rows)


INTRODUCTION = """\
Methods that name their own layer, beside each model's default and the best baseline at hits. Objects, measures, \
intervals and what fails are those at the top of this page, on fewer scenes: of a map of pixels, which is smoothed as \
it is on a screen, only what raises the target counts. The menu of methods says these figures, of detectors and of \
classifiers those of the first model here. `python -m benchmarks truth --newer` measures it."""
QUERIES = """\
{model} is an RT-DETR with the body of demo-m: its boxes are queries. Its encoder is the neck, so that all neck \
outputs are what the decoder reads. Of each of {scenes} drawn scenes one object that it gets right is explained, as at \
the top of this page, by gradients at its backbone and its encoder, and by the last cross-attention of the box's own \
query, which knows no class. `python -m benchmarks truth --newer` measures it."""
