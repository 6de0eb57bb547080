"""What a report says of one map, as parts that each writer sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import pixels
from sightglass.explain.trust.diagnosis import describe
from sightglass.explain.trust.proof import COLUMNS, lines, rows
from sightglass.export import caption, command, table
from sightglass.export.proof import files as proof_files

if TYPE_CHECKING:
    from sightglass.explain.result import Result
    from sightglass.explain.trust.proof import Proof

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    title: str
    lines: tuple[str, ...] = ()
    chart: Proof | None = None
    """The proof whose curves are drawn below the lines."""
    head: tuple[str, ...] = ()
    """Of the columns of `rows`."""
    rows: Rows = ()
    code: tuple[str, ...] = ()
    folded: bool = False
    """Whether a page shows it once it is opened."""


@dataclass(frozen=True)
class View:
    """One map with all that is said of it."""

    title: str
    about: str
    """Picture, model and method."""
    checks: tuple[tuple[str, str, str], ...]
    """Of each check its answer, its words and its sentence."""
    sections: tuple[Section, ...]


def map_view(explanation: Result, index: int) -> View:
    """Return the view of the map at `index`."""
    heatmap, image, recipe = explanation.heatmaps[index], explanation.image, proof_files.recipe(explanation, index)
    statement, known = describe(explanation, "The hottest colour", index), explanation.known_checks(index)
    checks = () if known is None else tuple((check.state, check.words, check.sentence) for check in known.checks)
    meaning = filter(None, (statement.slide(), caption.inside_boxes(explanation, index)))
    replay = command.replay(recipe)
    again = "Or save the recipe below as recipe.json and replay it, which checks the picture and the weights:"
    method = METHODS[heatmap.method].name_for(explanation.model.task)
    proof = explanation.proofs.get(index)
    sections = (
        Section("What the map shows", (*meaning, *(f"{words}. {sentence}" for _, words, sentence in checks))),
        *([_proof(proof)] if proof is not None else []),
        Section("Limitations", (*caption.caveats(explanation, index), *explanation.notes)),
        Section(
            f"Make it again {'on the command line' if replay else 'in Python'}",
            (caption.caption(explanation, index), *([again] if replay else [])),
            code=(command.line(recipe), *([replay] if replay else [])),
            folded=True,
        ),
        Section("All numbers", rows=tuple(table.list_numbers(explanation.statistics[index])), folded=True),
        Section("Recipe", code=(caption.listing(recipe),), folded=True),
    )
    about = f"{image.name}, {pixels(image.width, image.height)}, by {explanation.model.id}, {method}"
    return View(statement.headline, about, checks, sections)


def _proof(proof: Proof) -> Section:
    sentences = proof.sentence, *lines(proof), proof_files.describe_settings(proof)
    return Section("Is this map true?", sentences, proof, COLUMNS, tuple(rows(proof)))
