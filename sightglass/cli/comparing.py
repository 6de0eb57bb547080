"""`compare`: models on one picture; `similarity`: pictures, galleries and re-identification."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console, describe_checks, load_explainer
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Json
from sightglass.common.work.progress import Progress
from sightglass.explain import phrases
from sightglass.explain.comparison import models
from sightglass.explain.comparison.times import NOT_MEASURABLE
from sightglass.explain.methods import SIMILARITY
from sightglass.explain.similarity import ranking
from sightglass.explain.similarity import similarity as engine
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import checks
from sightglass.models import catalog
from sightglass.report import result_folder, results, similarity_files

if TYPE_CHECKING:
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.similarity import Similarity

MAX_ROWS = 20
"""Rows of a ranking that are printed; its file has all of them."""
SHEETS = 10
"""Queries that get a sheet with --visualize."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(cli.OutputOptions, cli.CheckOptions, cli.LoadOptions):
    model: list[str] | None = cli.field("--model -m ID", "Two or more; of one, all sizes of its family.", cli.MODEL)
    each_own: bool = cli.field("--each-own", "Explain each model's own answer.", cli.MAP, default=False)


@cli.verb(
    cli.app,
    "compare",
    """
    sightglass compare bus.jpg -m efficientnet-lite0 -m efficientnet-lite1
    sightglass compare bus.jpg -m yolo11n -m yolo26n --class bus
    """,
)
def compare(picture: cli.Picture, engine_options: cli.EngineOptions, options: CompareOptions) -> int:
    """Explain one picture with several models: answers, times and the overlap of maps.

    The folder, explained/<picture>_compared by default, gets comparison.jpg, overlays, maps.npz and comparison.json.
    """
    console, style = Console(options.json), options.style()
    with console.progress("Loading") as progress:
        comparison = _compare(console.open_picture(picture), engine_options, options, progress)
        # Not the picture's own folder, whose maps.npz its recipe is held against.
        (folder,) = result_folder.choose_folders([comparison.explanations[0].image.name], options.out, "_compared")
        written = result_folder.write(folder, result_folder.comparison_files(comparison, style))
    _report(console, comparison)
    return console.finish(folder, written, results.ComparisonResult.build(comparison).to_dict())


def _compare(image: Image, engine: cli.EngineOptions, options: CompareOptions, progress: Progress) -> models.Comparison:
    """Explain a picture with each model and, with --checks, check the first map of each."""
    ids, names = catalog.choose_compared(options.model or ["efficientnet-lite0"])
    if "confidence" in engine and options.like is None:
        _check_boxes(ids)

    def explain(name: str) -> Explanation:
        progress(ids.index(name) / len(ids), name)
        return load_explainer(name, options.device, progress, engine)(image, **engine)

    comparison = models.compare(ids, names, explain, aligned=not ("targets" in engine or options.each_own))
    for explanation in comparison.explanations if options.checks else ():
        checks.check_maps(explanation, 1, progress=progress)
    return comparison


def _check_boxes(ids: Sequence[str]) -> None:
    """Raise ModelProblem where no model draws the boxes that a score could hide."""
    given = (catalog.of_file(name) if catalog.is_file(name) else catalog.spec(name) for name in ids)
    if not any(task_of(model).explains("detection") for model in given):
        raise ModelProblem("None of these models draws boxes, so --score-thr would have no effect: leave it out.")


def _report(console: Console, comparison: models.Comparison) -> None:
    console.say(f"{comparison.explanations[0].image.name}: {comparison.verdict}")
    rows = []
    for i, (name, explanation) in enumerate(zip(comparison.names, comparison.explanations, strict=True)):
        label, sure = result_folder.first_answer(explanation)
        # The size that sentences and pictures call the model by, if any, and its id.
        called = " ".join(dict.fromkeys((name, explanation.model.id)))
        count = phrases.count(explanation.evidence.loaded.parameters)
        time = phrases.milliseconds(comparison.timings[i].median) if comparison.steady else NOT_MEASURABLE
        overlap = "–" if (agreement := comparison.agreement(0, i)) is None else f"{agreement.iou_top20:.2f}"
        rows.append((called, label, sure or "–", time, count, overlap))
    value = " or ".join(dict.fromkeys(explanation.task.value for explanation in comparison.explanations))
    columns = ("map of", value, "one pass", "parameters", f"overlap with {comparison.names[0]}")
    console.table(("model", *columns), rows, right=columns[1:])
    for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
        if explanation.heatmaps:
            console.say(*describe_checks(explanation.known_checks(0), f"{name}, "))
    console.say(" ".join(filter(None, (comparison.overlaps, comparison.mixed))))


@dataclass(frozen=True, kw_only=True)
class SimilarityOptions(cli.ModelOptions):
    gallery: str | None = cli.field("--gallery -g FOLDER", "Instead of B: a folder, pattern or .zip; or B itself.")
    top: int = cli.field("--top N", "Most similar pictures with maps [5].", default=5)
    names: str | None = cli.field("--names PATTERN", "Where names say person and camera [as Market-1501's].")
    method: str | None = cli.field("--method NAME", f"{', '.join(SIMILARITY)}.", cli.MAP)
    visualize: bool = cli.field("--visualize", "Also a sheet of each query and its matches.", cli.OUT, default=False)
    num_visualize: int | None = cli.field("--num-visualize N", f"Queries with a sheet [{SHEETS}].", cli.OUT, min=1)
    out: Path | None = cli.field(*cli.FOLDER)
    json: cli.Json = False


@cli.verb(
    cli.app,
    "similarity",
    """
    sightglass similarity bus.jpg zidane.jpg
    sightglass similarity person.png --gallery persons/ --top 3 --model osnet_x0_25_msmt17
    sightglass similarity query/ --gallery bounding_box_test/ --names market1501 --visualize
    """,
)
def similarity(
    pictures: Annotated[
        list[str], typer.Argument(metavar="A [B]", help="The query, and the picture to compare it with.")
    ],
    engine_options: cli.EngineOptions,
    options: SimilarityOptions,
) -> int:
    """Show how similar two pictures are to a model, and which regions make them so.

    Any model will do (its last features are compared). For two pictures the folder gets similarity.jpg, maps.npz and
    similarity.json; for a --gallery ranking.csv and the maps of the most similar; for a folder of queries and a
    --gallery mAP and rank-1, -5 and -10 by the protocol of Market-1501, in report.json and queries.csv.
    """
    gallery, sheets = options.gallery, options.num_visualize or (SHEETS if options.visualize else 0)
    if gallery and len(pictures) == 1 and _is_picture(gallery):
        # One picture is no gallery.
        pictures, gallery = [*pictures, gallery], None
    if len(pictures) != (1 if gallery else 2):
        raise Problem("Give two pictures, or with --gallery one picture or one folder, the queries.")
    path = Path(pictures[0])
    one_picture = not (path.is_dir() or path.suffix.lower() == ".zip" or glob.has_magic(pictures[0]))
    many = gallery is not None and (options.names is not None or not one_picture)
    if not gallery and (sheets or options.names is not None):
        raise Problem("--visualize and --names are of queries and their matches: give a --gallery.")
    console, arguments = Console(options.json), engine_options | {"method": options.method}
    with console.progress(f"Loading {options.model}") as progress:
        explainer = load_explainer(options.model, options.device, progress)
        run = _Run(console, progress, explainer, options, arguments, sheets)
        if many and gallery:
            return run.evaluate(pictures[0], gallery)
        query = console.open_picture(pictures[0])
        return run.rank(query, gallery) if gallery else run.compare(query, console.open_picture(pictures[1]))


def _is_picture(name: str) -> bool:
    """Return whether a gallery is one picture, also a bundled one."""
    # Here, so that --help needs no OpenCV.
    from sightglass.explain.picture.image import example_meant

    return example_meant(name) is not None or (Path(name).is_file() and not name.lower().endswith(".zip"))


@dataclass
class _Run:
    """One call of `similarity`."""

    console: Console
    progress: Progress
    explainer: Explainer
    options: SimilarityOptions
    arguments: dict[str, Any]
    sheets: int

    def compare(self, query: Image, other: Image) -> int:
        (folder,) = result_folder.choose_folders([f"{query.name.rsplit('.', 1)[0]}_and_{other.name}"], self.options.out)
        pair = self._explain(query, other)
        self.console.say(results.describe_similarity(pair), *similarity_files.describe_maps(pair))
        self.console.say(*(f"note: {note}" for note in pair.notes))
        written = result_folder.write(folder, similarity_files.pair_files(pair, self._attend()))
        return self.console.finish(folder, written, results.SimilarityResult.build(pair).to_dict())

    def rank(self, query: Image, gallery: str) -> int:
        (folder,) = result_folder.choose_folders([query.name], self.options.out, "_gallery")
        preprocessing = self.arguments.get("preprocessing", "trained")
        ranked = ranking.rank(self.explainer, query, gallery, preprocessing=preprocessing, progress=self.progress)
        top: list[Json] = []
        pairs: list[Similarity] = []
        files = [similarity_files.ranking_file(ranked)]
        for i, hit in enumerate(ranked.hits[: self.options.top], 1):
            self.progress((i - 1) / min(self.options.top, len(ranked.hits)), f"Map of {hit.name}")
            pairs.append(self._explain(query, hit.item.open()))
            top.append(results.SimilarityResult.build(pairs[-1]).to_dict() | {"rank": i})
            files.append(similarity_files.match_file(pairs[-1], i))
        if pairs and self.sheets:
            files.append(similarity_files.query_file(1, query.name, pairs, attend=self._attend()))
        self.console.say(f"{query.name} against {phrases.plural(len(ranked.hits), 'picture')}.")
        rows = [(str(i), hit.item.key, phrases.signed(hit.score)) for i, hit in enumerate(ranked.hits, 1)]
        self.console.table(("rank", "picture", "score"), rows[:MAX_ROWS], right=("rank", "score"))
        if len(rows) > MAX_ROWS:
            self.console.say(f"{len(rows) - MAX_ROWS} more are in ranking.csv.")
        if ranked.itself:
            self.console.say(f"note: left out, the same picture as the query: {', '.join(ranked.itself)}.")
        result = {
            "query": query.name,
            "model": self.explainer.model.id,
            "ranking": similarity_files.ranking_rows(ranked),
            "top": top,
            "itself": ranked.itself,
            "failed": [{"picture": name, "error": sentence} for name, sentence in ranked.failed],
        }
        return self.console.finish(folder, result_folder.write(folder, files), result, ranked.failed)

    def evaluate(self, queries: str, gallery: str) -> int:
        asked, stem = self.arguments.get("preprocessing", "trained"), result_folder.source_stem(Path(queries))
        (folder,) = result_folder.place_folders([stem], self.options.out, "_evaluation")
        names = self.options.names or ranking.NAMES
        report = ranking.evaluate(
            self.explainer, queries, gallery, names=names, preprocessing=asked, progress=self.progress
        )

        def files() -> Iterator[result_folder.File]:
            yield from similarity_files.evaluation_files(report)
            sheets = report.queries[: self.sheets]
            for i, query in enumerate(sheets):
                self.progress(i / len(sheets), f"Matches of {query.item.key}")
                image, top = query.item.open(), query.top[: self.options.top]
                pairs = [self._explain(image, item.open()) for item, _, _ in top]
                rights = [right for _, _, right in top]
                yield similarity_files.query_file(i + 1, query.item.key, pairs, rights, self._attend())

        rows = [("mAP", f"{report.mean_ap:.1%}"), *((f"rank-{k}", f"{report.rank(k):.1%}") for k in ranking.RANKS)]
        self.console.table(("measure", "value"), rows, right=("value",))
        if report.without_match:
            self.console.say(f"note: the gallery has no other picture of {', '.join(report.without_match[:3])}.")
        return self.console.finish(folder, result_folder.write(folder, files()), report.summary(), report.failed)

    def _attend(self) -> similarity_files.Attend | None:
        """Return a function that overlays a picture's attention; None for a model without spatial attention."""
        if all(attention.grid is None for attention in self.explainer.loaded.survey.attentions):
            return None
        # Attention is the same for any words.
        words = ("something",) if self.explainer.loaded.adapter.takes_words and not self.explainer.labels else ()
        return lambda image: self.explainer(image, method="attention", top_k=1, vocabulary=words).overlay(0)

    def _explain(self, query: Image, other: Image) -> Similarity:
        return engine.similarity(self.explainer, query, other, **self.arguments)
