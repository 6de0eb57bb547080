"""`image` and `class`: pictures explained one after the other, each into a folder of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import typer

from cli import extra_formats as more
from cli import options as cli
from cli.console import Teller
from common.errors import ImageProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cli.console import Progress
    from explain.explainer import Explainer
    from explain.explanation import Explanation
    from explain.export.result_folder import File, Look

    First = Callable[[Explanation], dict[str, Any]]
    """From what is found in a picture, yet without maps, to the options that name what the maps are to be of."""
    Work = Callable[[Explanation], tuple[dict[str, Any], Iterator[File]]]
    """From an explanation to what is said of it as JSON, and its files."""

MOST_CELLS = 100
"""Pictures on a sheet of several."""


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "image",
        """
        python -m explain image bus.jpg
        python -m explain image *.jpg --model efficientnet-lite2 --top-k 3 --out out
        python -m explain image bus.jpg --question why --class trolleybus --npy
        python -m explain image bus.jpg --method layercam --target-layers blocks.4,bn2
        python -m explain image bus.jpg --also svg,html,gif
        python -m explain image bus.jpg --json | jq .results[0].headline
        """,
    )(image)
    cli.verb(
        app,
        "class",
        """
        python -m explain class bus.jpg --class trolleybus
        python -m explain class bus.jpg --class 874 --class minibus --question why
        python -m explain class bus.jpg --class goldfish --json | jq .results[0].classes[0].rank
        """,
    )(class_)


def image(
    pictures: cli.Pictures,
    model: cli.Model = "efficientnet-lite0",
    question: cli.Question = None,
    method: cli.Method = None,
    target_layers: cli.Layers = None,
    part: cli.Part = None,
    class_: cli.Classes = None,
    top_k: cli.TopK = None,
    scale: cli.Scale = None,
    masks: cli.Masks = None,
    head: cli.Head = None,
    preprocessing: cli.Preprocessing = None,
    words: cli.Words = None,
    device: cli.Device = "auto",
    colormap: cli.Colormap = "inferno",
    alpha: cli.Alpha = None,
    npy: cli.Npy = False,
    also: cli.Also = None,
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """What a model says of a picture, and where it looked for each of its best answers.

    Of each picture there are in its folder: gradcam_prediction.png (picture, heatmap, overlay), an overlay of each of
    the best classes in top_predictions/, topk_comparison.jpg, maps.npz with the numbers, analysis_summary.json, and
    recipe.json, which `replay` makes the very same maps of again.
    """
    from explain.export import result_folder

    tell, formats = Teller(json), more.chosen(also)
    look = result_folder.Look(colormap, 0.5 if alpha is None else alpha)
    given = cli.given(
        question=question,
        method=method,
        layers=target_layers,
        part=part,
        top_k=top_k,
        scale=scale,
        masks=masks,
        head=head,
        preprocessing=preprocessing,
        vocabulary=words,
    )

    def work(explanation: Explanation) -> tuple[dict[str, Any], Iterator[File]]:
        report(tell, explanation, look)
        said = result_folder.summary(explanation, look)
        made = chain(result_folder.of_picture(explanation, look, npy=npy), more.files(explanation, formats, look))
        return said, result_folder.with_summary(made, said)

    with tell.at_work(f"Waking {model}") as bar:
        explainer = woken(model, device, bar)
        cli.checked(explainer, given)
        if class_:
            given["targets"] = tuple(class_) if words else cli.classes(class_, explainer.labels)
    return each(tell, explainer, pictures, given, out, look, work)


def class_(
    pictures: cli.Pictures,
    class_: cli.Classes = None,
    model: cli.Model = "efficientnet-lite0",
    question: cli.Question = None,
    method: cli.Method = None,
    target_layers: cli.Layers = None,
    part: cli.Part = None,
    masks: cli.Masks = None,
    head: cli.Head = None,
    preprocessing: cli.Preprocessing = None,
    words: cli.Words = None,
    device: cli.Device = "auto",
    colormap: cli.Colormap = "inferno",
    alpha: cli.Alpha = None,
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """What speaks for a class of your choice, by its name or index, whatever the model's own answer is.

    Of each class there are class_analysis_<class>.json (its place among all classes, its score, its map in numbers
    and how far that is the map of the best class), gradcam_class_<class>.png and .npy.
    """
    from common.errors import ModelProblem
    from explain.export import result_folder

    if not class_:
        raise ModelProblem("Which class? Name it: --class cat, or its index: --class 281.")
    tell = Teller(json)
    look = result_folder.Look(colormap, 0.5 if alpha is None else alpha)
    given = cli.given(
        question=question,
        method=method,
        layers=target_layers,
        part=part,
        masks=masks,
        head=head,
        preprocessing=preprocessing,
        vocabulary=words,
    )

    def work(explanation: Explanation) -> tuple[dict[str, Any], Iterator[File]]:
        found = [result_folder.class_analysis(explanation, i) for i in range(len(explanation.heatmaps))]
        for analysis in found:
            tell.say(f"{explanation.image.name}, {explanation.model.id}: {analysis['headline']}")

        def drawn() -> Iterator[File]:
            for i, analysis in enumerate(found):
                yield from result_folder.of_class(explanation, i, analysis, look)

        return {"picture": explanation.image.name, "classes": found, "recipe": explanation.recipe}, drawn()

    with tell.at_work(f"Waking {model}") as bar:
        explainer = woken(model, device, bar)
        cli.checked(explainer, given)
        given["targets"] = tuple(class_) if words else cli.classes(class_, explainer.labels)
    return each(tell, explainer, pictures, given, out, look, work)


def woken(model: str, device: str, bar: Progress) -> Explainer:
    """The model, resident; it says what it fetches."""
    from models.catalog import spec

    spec(model)  # a typo is answered before torch is there
    from explain.explainer import Explainer

    return Explainer(model, device=device, progress=bar)


def each(
    tell: Teller,
    explainer: Explainer,
    pictures: Sequence[str],
    given: dict[str, Any],
    out: Path | None,
    look: Look,
    work: Work,
    first: First | None = None,
) -> int:
    """Explain pictures one after the other into their folders, and several on a sheet; one that fails is told of and
    passed over. `first`: where what is asked for depends on what is found."""
    from explain.export import result_folder
    from explain.picture.image import Image

    folders = result_folder.places([picture.replace("\\", "/").rsplit("/", 1)[-1] for picture in pictures], out)
    result_folder.check(folders[0])
    results: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    cells: list[tuple[NDArray[np.uint8], str]] = []
    with tell.at_work("Explaining") as bar:
        for number, (picture, folder) in enumerate(zip(pictures, folders, strict=True)):
            share = number / len(pictures)
            bar(share if number else -1, picture)

            def told(part: float, words: str, picture: str = picture, share: float = share) -> None:
                bar(share + part / len(pictures), f"{picture}: {words}")

            try:
                image = Image.open(picture)
                found = None if first is None else explainer(image, maps=False, **given)
                explanation = explainer(image, progress=told, **given | (first(found) if first and found else {}))
                if found:
                    took = found.milliseconds | {"maps": explanation.milliseconds["maps"]}
                    explanation = replace(explanation, milliseconds=took)
                said, made = work(explanation)
                names = result_folder.write(folder, made)
            except (ImageProblem, MemoryError) as error:
                sentence = str(error) or f"{picture} does not fit in memory; give a smaller picture."
                tell.complain(sentence)
                failed.append({"picture": picture, "error": sentence})
                continue
            tell.written(folder, names)
            results.append(said | {"folder": folder, "files": names})
            if len(pictures) > 1 and len(cells) < MOST_CELLS:
                cells.append(result_folder.thumbnail(explanation, look))
    sheets = (
        [folders[0].parent / name for name in result_folder.write(folders[0].parent, result_folder.of_many(cells))]
        if cells
        else []
    )
    for path in sheets:
        tell.say(str(path))
    tell.result({"results": results, "failed": failed, "sheets": sheets})
    return 1 if failed else 0


def report(tell: Teller, explanation: Explanation, look: Look) -> None:
    """What a person reads of one explanation: the sentence, the numbers, and what is to be said against it."""
    from explain.export import table
    from explain.export.result_folder import read
    from explain.findings.diagnosis import headline
    from explain.methods import METHODS
    from explain.phrases import percent

    first = next(iter(explanation.heatmaps), None)
    by = f", {METHODS[first.method].name} at {', '.join(first.layers)}" if first else ""
    said = headline(explanation, look.hot)
    tell.say(f"{explanation.image.name}: {explanation.model.id}{by}", read(said))
    rows = [
        (
            row["label"],
            percent(row["score"]) if row["score"] is not None else "–",
            percent(row["half_heat_area"]) if row["state"] == "ok" else "–",
            f"{row['peak_x']:.0f}, {row['peak_y']:.0f}" if row["state"] == "ok" else row["state"],
            percent(row["box_inside"]) if row["box_inside"] is not None else "",
        )
        for row in table.rows(explanation)
    ]
    columns = ("map of", "how sure", "half its heat on", "hottest at", "heat in its box")
    count = len(columns) if any(row[-1] for row in rows) else len(columns) - 1
    tell.table(columns[:count], [row[:count] for row in rows], right=columns[1:])
    # Of a detector that shows boxes, none of which was asked for, the strongest candidates are told of instead.
    for finding in explanation.diagnosis if rows or not explanation.predictions else ():
        if finding.text != said:
            tell.say(f"{finding.level}: {read(finding.text)}")
