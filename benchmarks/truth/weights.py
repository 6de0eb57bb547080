"""Count whose maps depend on the model, by redrawing its weights."""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from benchmarks.report import grid
from benchmarks.truth.scenes import held_out
from sightglass.common.errors import ModelProblem
from sightglass.common.packaged import photographs
from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.questions import answers_why
from sightglass.explain.trust.diagnosis import RANDOMISATION as FILE
from sightglass.explain.trust.diagnosis import family_of
from sightglass.explain.trust.scramble import scramble
from sightglass.models.catalog import available, spec

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

MODELS = (
    *("demo-cls-s", "demo-cls-m", "demo-cls-l", "efficientnet-lite0", "demo-vit"),
    *("demo-s", "demo-m", "demo-l", "yolo11n", "yolo26n", "yolox_nano"),
)
PICTURES = 6
QUICK = tuple(method.id for method in METHODS.values() if method.compute_name)
SLOWER = (
    ("demo-cls-s", 12, ("pixel",)),
    ("demo-vit", 6, ("attention",)),
    ("demo-s", 4, ("pixel",)),
    ("demo-detr", 6, ("query", "gradient", "eigen", "control")),
)
"""Models, numbers of pictures and the families whose methods are slow, or for these models alone."""
FIRST_SCENE = 600_000
Counts = dict[tuple[str, str, str], Counter[str]]
"""How often each mark came, by family, question and method; `box`: a yes of which only the box is kept."""


def count_marks(models: Sequence[str], pictures: int = PICTURES, methods: Container[str] = QUICK) -> Counts:
    """Count the first maps' checks by method at each question's layers."""
    counts: Counts = {}
    for model in present(models):
        explainer = Explainer(model, device="cpu")
        task = explainer.model.task
        family, per = family_of(task, explainer.loaded), "detection" if task == "detect" else "class"
        asked = ("where", "why") if answers_why(explainer.loaded) else ("where",)
        for picture in islice(_pictures(model, pictures), pictures):
            print(f"{model}: {sum(map(Counter.total, counts.values()))} maps", file=sys.stderr, flush=True)
            for question in asked:
                for method in (each.id for each in list_methods(explainer.loaded) if each.id in methods):
                    explanation = explainer(picture, question=question, method=method, per=per, top_k=1)
                    try:
                        test = scramble(explanation)
                    except ModelProblem:
                        # Nothing was found, or the map is empty.
                        continue
                    counts.setdefault((family, question, method), Counter())[
                        "box" if test.verdict == "box" else test.mark
                    ] += 1
    return counts


def present(models: Sequence[str]) -> list[str]:
    """Return the local ones of the models."""
    return [model for model in models or MODELS if available(spec(model))]


def _pictures(model: str, count: int) -> Iterator[Any]:
    if spec(model).example:
        yield from held_out(model, range(FIRST_SCENE, FIRST_SCENE + count))
        return
    for path in photographs().values():
        with Pillow.open(path) as opened:
            whole = opened.convert("RGB")
        yield np.asarray(whole)
        width, height = whole.size
        yield np.asarray(whole.crop((0, height // 4, 3 * width // 4, height)))


def write(counts: Counts) -> None:
    """Merge the counts into the findings' file."""
    before = json.loads(FILE.read_text(encoding="utf-8"))
    rows = [row for row in before if (row["family"], row["question"], row["method"]) not in counts]
    rows += [
        {
            "family": family,
            "question": question,
            "method": method,
            "yes": of["yes"] + of["box"],
            "no": of["no"],
            "maps": of.total(),
            "box": of["box"],
        }
        for (family, question, method), of in counts.items()
    ]
    FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def section(counts: Counts, models: Sequence[str] = (), pictures: int = PICTURES) -> list[str]:
    """Return truth.md's section on maps' dependence on the model."""
    measured = (
        f"Measured with {', '.join(present(models))}, on at most {pictures} pictures each: those on which nothing was "
        "found, or whose map is empty, are not counted."
    )
    return ["## Maps that depend on the model", INTRODUCTION, measured, grid_of(counts)]


def grid_of(counts: Mapping[tuple[str, str, str], Counter[str]]) -> str:
    """Return the table of model-dependent maps of each method."""
    rows = [
        (
            *(family, question, METHODS[method].name),
            *map(str, (of.total(), of["yes"] + of["box"], of["box"], of["no"], of["cannot be told"])),
        )
        for (family, question, method), of in counts.items()
    ]
    head = ("family", "question", "method", "maps", "depend on the model", "keep the box", "do not", "cannot be told")
    return grid(head, rows)


INTRODUCTION = """\
The weights of each model are redrawn three to eight times, and the map of its first answer is made again by every \
quick method at the layers of each question: of drawn scenes, or of photographs and parts of them. A map depends on \
the model where its mean similarity to the true one stays below what unrelated maps reach; of a box this is the \
overlap, inside it, of the outlines at half of the scale \
([docs/proof.md](../../docs/proof.md#does-it-depend-on-the-model-at-all)). The menu of methods says these counts. \
Where maps by a method mostly do not depend on it, every explanation by this method says so."""
