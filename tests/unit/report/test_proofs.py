"""Files of a map that was proved carry the proof: sentence, curves, numbers, and a recipe that makes it again."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from sightglass.explain import Explainer, Explanation
from sightglass.explain.picture.image import Image
from sightglass.explain.trust.proof import rows
from sightglass.report import embedded_recipe, html_report, proof_files

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.trust.proof import Proof

NAME = "=1+1 <img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image(Image.open(scene).pixels, NAME), top_k=2)


@pytest.fixture(scope="module")
def made(bare: Explanation) -> Explanation:
    """Two maps, of which the second was proved."""
    made = Explainer("demo-cls-s")(bare.image, top_k=2)
    made.prove(made.heatmaps[1].target.label, steps=5)
    return made


@pytest.fixture(scope="module")
def proof(made: Explanation) -> Proof:
    return made.proofs[1]


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_a_page_has_the_proof_in_words_curves_and_numbers(made: Explanation, proof: Proof) -> None:
    page = html_report.html([made])
    words = text(page)
    assert proof.sentence in words
    for row in rows(proof):
        assert all(value in words for value in row)
    assert page.count("data:image/svg+xml") == 1


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_curves_as_a_figure_are_vectors_and_make_the_proof_again(made: Explanation, proof: Proof, kind) -> None:
    data = proof_files.curves(made, 1, proof, kind)
    assert proof_files.curves(made, 1, proof, kind) == data
    if kind == "png":
        recipe = embedded_recipe.read(data)
        assert recipe is not None and recipe.prove == proof_files.settings(1, proof)
    if kind == "svg":
        words = " ".join(re.findall(r">([^<>]+)</text>", data.decode("utf-8")))
        assert " ".join(proof.sentence.split()) in " ".join(html.unescape(words).split())
        assert data.count(b"stroke-dasharray") >= len(proof.controls) and b"<image" not in data
    if kind == "pdf":
        assert b"/Type3" not in data
