"""Files of a map that was proved or checked say so, and its recipe makes the proof again."""

import html
import re
from pathlib import Path

import pytest

from sightglass.explain import Explainer, Explanation
from sightglass.explain.picture.image import Image
from sightglass.explain.trust.checks import Check, Checks
from sightglass.explain.trust.proof import Proof, rows
from sightglass.report import charts, embedded_recipe, figure, html_report

NAME = "=1+1 <img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image(Image.open(scene).pixels, NAME), top_k=2)


@pytest.fixture(scope="module")
def proved(bare: Explanation) -> Explanation:
    """Two maps, of which the second was proved."""
    result = Explainer("demo-cls-s")(bare.image, top_k=2)
    result.prove(result.heatmaps[1].target.label, steps=5)
    return result


@pytest.fixture(scope="module")
def proof(proved: Explanation) -> Proof:
    return proved.proofs[1]


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_a_page_has_the_proof_in_words_curves_and_numbers(proved: Explanation, proof: Proof) -> None:
    page = html_report.html([proved])
    words = text(page)
    assert proof.sentence in words
    for row in rows(proof):
        assert all(value in words for value in row)
    assert page.count("data:image/svg+xml") == 1


def test_curves_as_a_figure_are_vectors(proof: Proof) -> None:
    chart = charts.describe_proof(proof)
    data = charts.figure(chart, "svg")
    assert charts.figure(chart, "svg") == data
    words = " ".join(re.findall(r">([^<>]+)</text>", data.decode("utf-8")))
    assert " ".join(proof.sentence.split()) in " ".join(html.unescape(words).split())
    assert data.count(b"stroke-dasharray") >= len(proof.controls) and b"<image" not in data
    assert b"/Type3" not in charts.figure(chart, "pdf")


SENTENCE = "With random weights the map is another one (0.03, <b>unrelated</b> maps: 0.20)."
MARKS = (
    Check("model", "yes", SENTENCE, 0.03, 0.2),
    Check("answer", "no", "Maps of other pictures matter as much.", 1.5, 2.25),
    Check("still", "cannot be told", "The map is too even.", None, float("nan")),
)


@pytest.fixture
def checked(bare: Explanation) -> Explanation:
    """Two maps, of which the second was sealed."""
    return bare.with_tests({1: Checks(bare.heatmaps[1].target.label, MARKS)})


def test_a_png_or_jpg_has_it_in_its_recipe(checked: Explanation) -> None:
    for kind in ("png", "jpg"):
        embedded = embedded_recipe.read(figure.figure(checked, 1, format=kind))  # type: ignore[arg-type]
        (saved,) = embedded.seals
        assert saved.index == 1
        assert [(mark.question, mark.answer, mark.value, mark.control) for mark in saved.marks] == [
            ("model", "yes", 0.03, 0.2),
            ("answer", "no", 1.5, 2.25),
            ("still", "cannot be told", None, None),
        ]
    # What two explanations are compared by has none.
    assert checked.recipe.seals == ()
    assert embedded_recipe.proved_recipe(checked, 0) == embedded


def test_a_report_has_the_checks_with_their_sentences(checked: Explanation, bare: Explanation) -> None:
    page = html_report.html([checked], index=1)
    assert all(f"{check.words}. {check.sentence}" in html.unescape(page) for check in MARKS)
    assert "<b>unrelated" not in page
    assert "✗ matters to the answer: no" in html_report.frame([checked])
    assert "matters to the answer" not in html_report.html([bare], index=1)
