"""`similarity`: two pictures, or one against a gallery: how alike they are to a model, and what carries that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options as cli
from cli.console import Teller
from cli.image import woken
from common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from cli.console import Progress
    from explain.explainer import Explainer
    from explain.export.result_folder import File
    from explain.picture.image import Image

TOP = 5
LISTED = 20
"""Rows of a ranking that are shown; all of them are in its file."""


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "similarity",
        """
        python -m explain similarity bus.jpg other.jpg
        python -m explain similarity person.jpg --gallery persons/ --top 3 --model osnet_x0_25_msmt17
        python -m explain similarity a.jpg b.jpg --of product --method gradcam --target-layers blocks.4
        python -m explain similarity a.jpg b.jpg --json | jq .score
        """,
    )(similarity)


def similarity(
    pictures: Annotated[
        list[str], typer.Argument(metavar="A [B]", help="The query and what it is compared with: picture files.")
    ],
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            "-g",
            metavar="FOLDER",
            help="Many pictures instead of B: a folder, a pattern, a list of paths, or a .zip.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", help="Of a gallery: how many of the most alike get maps.")
    ] = TOP,
    model: cli.Model = "efficientnet-lite0",
    of: Annotated[
        str,
        typer.Option(
            "--of",
            metavar="cosine|product",
            help="What makes the two more alike and what sets them apart, or what the score is made of.",
            rich_help_panel=cli.MAP,
        ),
    ] = "cosine",
    method: cli.Method = None,
    target_layers: cli.Layers = None,
    preprocessing: cli.Preprocessing = None,
    device: cli.Device = "auto",
    out: cli.Out = None,
    json: cli.Json = False,
) -> int:
    """How alike two pictures are to a model, and which regions of each make them so.

    Any classifier will do (its last features are compared), or a model made to compare.

    Of two pictures there are in the folder: similarity.jpg with both maps, pairs.jpg with the places that match best,
    maps.npz and similarity.json. Of a gallery: ranking.csv, and top1_..., top2_... with the maps of the most alike.
    """
    if len(pictures) != (1 if gallery else 2):
        raise Problem(
            "With --gallery give one picture, the query."
            if gallery
            else "Give two pictures, or one and a --gallery to rank."
        )
    tell = Teller(json)
    given = cli.given(method=method, layers=target_layers, preprocessing=preprocessing) | {"of": of}
    with tell.at_work(f"Waking {model}") as bar:
        from explain.picture.image import Image

        explainer = woken(model, device, bar)
        query = Image.open(pictures[0])
        if gallery:
            return _gallery(tell, bar, explainer, query, gallery, top, given, out)
        return _two(tell, explainer, query, Image.open(pictures[1]), given, out)


def _two(
    tell: Teller, explainer: Explainer, query: Image, other: Image, given: dict[str, Any], out: Path | None
) -> int:
    from explain.export import result_folder, similarity_files
    from explain.similarity.ranking import context
    from explain.similarity.similarity import similarity

    found = similarity(explainer, query, other, **given)
    held = context(explainer, query, found.preprocessing)
    stem = query.name.rsplit(".", 1)[0]
    (folder,) = result_folder.places([f"{stem}_and_{other.name}"], out)
    written = result_folder.write(folder, similarity_files.of_similarity(found, held))
    tell.say(
        similarity_files.headline(found, held),
        held.words,
        *similarity_files.places(found),
    )
    rows = [
        (str(i + 1), _cell(pair.query), _cell(pair.gallery), f"{pair.score:.2f}") for i, pair in enumerate(_best(found))
    ]
    tell.table(("pair", "cell of the first", "cell of the second", "alike"), rows, right=("alike",))
    for note in found.notes:
        tell.say(f"note: {note}")
    tell.written(folder, written)
    tell.result(similarity_files.summary(found, held) | {"folder": folder, "files": written})
    return 0


def _gallery(
    tell: Teller,
    bar: Progress,
    explainer: Explainer,
    query: Image,
    gallery: str,
    top: int,
    given: dict[str, Any],
    out: Path | None,
) -> int:
    from explain.export import result_folder, similarity_files
    from explain.phrases import plural
    from explain.similarity.ranking import context, rank
    from explain.similarity.similarity import similarity

    (folder,) = result_folder.places([f"{query.name.rsplit('.', 1)[0]}_gallery"], out)
    result_folder.check(folder)
    ways = {name: given[name] for name in ("preprocessing",) if name in given}
    found = rank(explainer, query, gallery, progress=bar, **ways)
    held = context(explainer, query, **ways)
    for name, sentence in found.failed:
        tell.complain(sentence if name in sentence else f"{name}: {sentence}")
    made: list[dict[str, Any]] = []

    def drawn() -> Iterator[File]:
        yield similarity_files.of_ranking(found)
        for i, hit in enumerate(found.hits[:top]):
            bar(i / min(top, len(found.hits)), f"Map of {hit.name}")
            pair = similarity(explainer, query, hit.item.open(), **given)
            made.append(similarity_files.summary(pair, None) | {"rank": i + 1})
            yield similarity_files.of_pair(pair, i + 1)

    written = result_folder.write(folder, drawn())
    tell.say(f"{query.name} against {plural(len(found.hits), 'picture')}: {held.words}")
    rows = [(str(i + 1), hit.item.key, f"{hit.score:.2f}", held.verdict(hit.score)) for i, hit in enumerate(found.hits)]
    tell.table(("rank", "picture", "alike", "that is"), rows[:LISTED], right=("rank", "alike"))
    if len(rows) > LISTED:
        tell.say(f"{len(rows) - LISTED} more are in ranking.csv.")
    if found.itself:
        tell.say(f"note: left out, for it is the query itself: {', '.join(found.itself)}.")
    tell.written(folder, written)
    tell.result(
        {
            "query": query.name,
            "model": explainer.model.id,
            "context": held,
            "ranking": similarity_files.ranking(found),
            "top": made,
            "itself": found.itself,
            "failed": [{"picture": name, "error": sentence} for name, sentence in found.failed],
            "folder": folder,
            "files": written,
        }
    )
    return 1 if found.failed else 0


def _best(found: Any) -> Sequence[Any]:
    from explain.export.similarity_files import PAIRS

    best: Sequence[Any] = found.matches.pairs[:PAIRS]
    return best


def _cell(place: tuple[int, int]) -> str:
    """Row and column, counted from 1 as people do."""
    return f"row {place[0] + 1}, column {place[1] + 1}"
