"""`similarity`: compare two pictures, or rank a gallery against one, and show which regions make them alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options as cli
from cli.console import Console
from cli.pictures import load_explainer
from common.errors import Problem
from explain.methods import SIMILARITY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from cli.console import Progress
    from explain.explainer import Explainer
    from explain.export.result_folder import File
    from explain.picture.image import Image

MAX_ROWS = 20
"""Rows of a ranking that are printed; its file has all of them."""


@dataclass(frozen=True, kw_only=True)
class SimilarityOptions(cli.LoadOptions):
    gallery: str | None = cli.field(
        "--gallery -g FOLDER", "Many pictures instead of B: a folder, a pattern, a path list or a .zip."
    )
    top: int = cli.field(
        "--top N", "With --gallery: the number of most similar pictures with maps.", show_default=True, default=5
    )
    model: cli.Model = "efficientnet-lite0"
    of: str = cli.field(
        "--of cosine|product",
        "What makes the two more alike and what sets them apart, or what adds up to the score.",
        cli.MAP,
        show_default=True,
        default="cosine",
    )
    method: str | None = cli.field("--method NAME", f"{', '.join(SIMILARITY)} \\[hirescam].", cli.MAP)
    target_layers: cli.Layers = None
    out: cli.Out = None
    json: cli.Json = False


@cli.verb(
    cli.app,
    "similarity",
    """
    python -m explain similarity bus.jpg other.jpg
    python -m explain similarity person.jpg --gallery persons/ --top 3 --model osnet_x0_25_msmt17
    python -m explain similarity a.jpg b.jpg --of product --method gradcam --target-layers blocks.4
    python -m explain similarity a.jpg b.jpg --json | jq .score
    """,
)
def similarity(
    pictures: Annotated[
        list[str], typer.Argument(metavar="A [B]", help="The query, and the picture to compare it with.")
    ],
    options: SimilarityOptions,
) -> int:
    """Show how alike two pictures are to a model, and which regions of each make them so.

    Any classifier will do (its last features are compared), or a model trained to compare.

    For two pictures the folder gets similarity.jpg with both maps, pairs.jpg with the places that match best, maps.npz
    and similarity.json. For a gallery: ranking.csv, and top1_..., top2_... with the maps of the most similar.
    """
    gallery = options.gallery
    if len(pictures) != (1 if gallery else 2):
        raise Problem(
            "With --gallery give one picture, the query."
            if gallery
            else "Give two pictures, or one and a --gallery to rank."
        )
    console, given = Console(options.json), cli.engine_options(options)
    with console.progress(f"Loading {options.model}") as progress:
        from explain.picture.image import Image

        explainer = load_explainer(options.model, options.device, progress)
        query = Image.open(pictures[0])
        if gallery:
            return _gallery(console, progress, explainer, query, gallery, options, given)
        return _two(console, explainer, query, Image.open(pictures[1]), given, options.out)


def _two(
    console: Console, explainer: Explainer, query: Image, other: Image, given: dict[str, Any], out: Path | None
) -> int:
    from explain.export import result_folder, similarity_files
    from explain.similarity.ranking import context
    from explain.similarity.similarity import similarity

    found = similarity(explainer, query, other, **given)
    baseline = context(explainer, query, found.preprocessing)
    stem = query.name.rsplit(".", 1)[0]
    (folder,) = result_folder.places([f"{stem}_and_{other.name}"], out)
    written = result_folder.write(folder, similarity_files.of_similarity(found, baseline))
    console.say(similarity_files.headline(found, baseline), baseline.words, *similarity_files.places(found))
    best = found.matches.pairs[: similarity_files.PAIRS]
    rows = [
        (str(i), _cell(pair.query), _cell(pair.gallery), f"{pair.score:.2f}") for i, pair in enumerate(best, start=1)
    ]
    console.table(("pair", "cell of the first", "cell of the second", "alike"), rows, right=("alike",))
    for note in found.notes:
        console.say(f"note: {note}")
    console.files(folder, written)
    console.result(similarity_files.summary(found, baseline) | {"folder": folder, "files": written})
    return 0


def _gallery(
    console: Console,
    progress: Progress,
    explainer: Explainer,
    query: Image,
    gallery: str,
    options: SimilarityOptions,
    given: dict[str, Any],
) -> int:
    from explain.export import result_folder, similarity_files
    from explain.phrases import plural
    from explain.similarity.ranking import context, rank
    from explain.similarity.similarity import similarity

    (folder,) = result_folder.places([f"{query.name.rsplit('.', 1)[0]}_gallery"], options.out)
    result_folder.check(folder)
    fitting = {name: given[name] for name in ("preprocessing",) if name in given}
    found = rank(explainer, query, gallery, progress=progress, **fitting)
    baseline = context(explainer, query, **fitting)
    for name, sentence in found.failed:
        console.warn(sentence if name in sentence else f"{name}: {sentence}")
    made: list[dict[str, Any]] = []

    def drawn() -> Iterator[File]:
        yield similarity_files.of_ranking(found)
        for i, hit in enumerate(found.hits[: options.top]):
            progress(i / min(options.top, len(found.hits)), f"Map of {hit.name}")
            pair = similarity(explainer, query, hit.item.open(), **given)
            made.append(similarity_files.summary(pair, None) | {"rank": i + 1})
            yield similarity_files.of_pair(pair, i + 1)

    written = result_folder.write(folder, drawn())
    console.say(f"{query.name} against {plural(len(found.hits), 'picture')}: {baseline.words}")
    rows = [
        (str(i + 1), hit.item.key, f"{hit.score:.2f}", baseline.verdict(hit.score)) for i, hit in enumerate(found.hits)
    ]
    console.table(("rank", "picture", "alike", "that is"), rows[:MAX_ROWS], right=("rank", "alike"))
    if len(rows) > MAX_ROWS:
        console.say(f"{len(rows) - MAX_ROWS} more are in ranking.csv.")
    if found.itself:
        console.say(f"note: left out because it is the query itself: {', '.join(found.itself)}.")
    console.files(folder, written)
    console.result(
        {
            "query": query.name,
            "model": explainer.model.id,
            "context": baseline,
            "ranking": similarity_files.ranking(found),
            "top": made,
            "itself": found.itself,
            "failed": [{"picture": name, "error": sentence} for name, sentence in found.failed],
            "folder": folder,
            "files": written,
        }
    )
    return 1 if found.failed else 0


def _cell(place: tuple[int, int]) -> str:
    return f"row {place[0] + 1}, column {place[1] + 1}"
