"""`compare`: one picture through several models."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli import options as cli
from explain.cli.pictures import woken
from explain.cli.tell import Teller

if TYPE_CHECKING:
    from explain.comparison import Comparison


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "compare",
        """
        python -m explain compare bus.jpg
        python -m explain compare bus.jpg -m efficientnet-lite0 -m resnet50
        python -m explain compare bus.jpg --class trolleybus --question why --json
        """,
    )(compare)


def compare(
    picture: cli.Picture,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ID",
            help="Two models or more, each with an option of its own; of one all sizes of its family that are on this "
            "machine \\[efficientnet-lite0].",
            rich_help_panel=cli.MODEL,
            show_default=False,
        ),
    ] = None,
    question: cli.Question = None,
    method: cli.Method = None,
    class_: cli.Classes = None,
    scale: cli.Scale = None,
    score_thr: cli.ScoreThr = None,
    preprocessing: cli.Preprocessing = None,
    device: cli.Device = "auto",
    colormap: cli.Colormap = "inferno",
    alpha: cli.Alpha = None,
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """One picture through a small, a medium and a large model, or any others: what each says, how long it takes here,
    and how far they look at the same place.

    In the folder there are comparison.jpg with the maps side by side, an overlay of each model's map, maps.npz with
    the maps on one grid, and comparison.json.
    """
    from explain import files
    from explain.comparison import Comparison
    from explain.image import Image
    from explain.timing import measure
    from models.choice import compared

    tell = Teller(json)
    look = files.Look(colormap, 0.5 if alpha is None else alpha)
    given = cli.given(question=question, method=method, scale=scale, confidence=score_thr, preprocessing=preprocessing)
    ids, names = compared(model or ["efficientnet-lite0"])
    image = Image.open(picture)
    explanations, timings = [], []
    with tell.at_work(f"Waking {ids[0]}") as bar:
        for i, name in enumerate(ids):
            bar(i / len(ids), name)
            explainer = woken(name, device, bar)
            cli.checked(explainer, given)
            targets = cli.classes(class_, explainer.labels)
            explanations.append(explainer(image, targets=targets, **given))
            timings.append(measure(explanations[-1].evidence))
        comparison = Comparison(tuple(explanations), names, tuple(timings))
        (folder,) = files.places([image.name], out)
        written = files.write(folder, files.of_comparison(comparison, look))
    _report(tell, comparison)
    tell.written(folder, written)
    tell.result(files.comparison(comparison) | {"folder": folder, "files": written})
    return 0


def _report(tell: Teller, comparison: Comparison) -> None:
    from explain.words import count, milliseconds, percent

    tell.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows = []
    for i, explanation in enumerate(comparison.explanations):
        best = comparison.best(i)
        rows.append(
            (
                explanation.model.id,
                best.label if best else "–" if explanation.model.task == "embed" else "nothing",
                percent(best.score) if best else "–",
                milliseconds(comparison.timings[i].median),
                count(explanation.evidence.resident.parameters),
                f"{comparison.agreement(0, i).iou_top20:.2f}",
            )
        )
    columns = ("model", "says", "how sure", "one pass", "parameters", f"overlap with {comparison.names[0]}")
    tell.table(columns, rows, right=columns[2:])
    pairs = [
        f"{comparison.names[a]} and {comparison.names[b]} {comparison.agreement(a, b).iou_top20:.2f}"
        for a, b in combinations(range(len(comparison.names)), 2)
    ]
    tell.say(f"Overlap of the hottest fifths: {', '.join(pairs)}.")
