"""Files of a map that was sealed carry the seal; others say nothing of one, and none is made for them."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest

from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.trust.checks import Check, Checks, forget, remember
from sightglass.report import embedded_recipe, figure, html_report, proof_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sightglass.explain import Explanation

SENTENCE = "With random weights the map is another one (0.03, <b>unrelated</b> maps: 0.20)."
MARKS = (
    Check("model", "yes", SENTENCE, 0.03, 0.2),
    Check("answer", "no", "Maps of other pictures matter as much.", 1.5, 2.25),
    Check("still", "cannot be told", "The map is too even.", None, float("nan")),
)


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image(Image.open(scene).pixels, "scene 3.png"), top_k=2)


@pytest.fixture
def made(bare: Explanation) -> Iterator[Explanation]:
    """Two maps, of which the second was sealed."""
    forget()
    remember(bare.checks_key(1), Checks(bare.heatmaps[1].target.label, MARKS))
    yield bare
    forget()


def test_a_png_or_jpg_has_it_in_its_recipe(made: Explanation) -> None:
    for kind in ("png", "jpg"):
        found = embedded_recipe.read(figure.figure(made, 1, format=kind))  # type: ignore[arg-type]
        assert found is not None
        (saved,) = found.seals
        assert saved.index == 1
        assert [(mark.question, mark.answer, mark.value, mark.control) for mark in saved.marks] == [
            ("model", "yes", 0.03, 0.2),
            ("answer", "no", 1.5, 2.25),
            ("still", "cannot be told", None, None),
        ]
    # What two explanations are compared by has none.
    assert made.recipe.seals == ()
    assert proof_files.recipe(made, 0) == found


def test_a_report_has_a_line_of_marks_with_their_sentences(made: Explanation) -> None:
    page = html_report.html([made], index=1)
    (line,) = re.findall(r'<p class="checks[^>]*>.*?</p>', page)
    assert 'data-maps="1"' in line
    assert "hidden" not in line
    spans = re.findall(r'<span data-answer="([^"]*)" title="([^"]*)">([^<]*)</span>', line)
    assert [(answer, html.unescape(sentence), words) for answer, sentence, words in spans] == [
        (check.state, check.sentence, check.words) for check in MARKS
    ]
    assert "<b>unrelated" not in page
    assert "✗ matters: no" in html_report.frame([made])
    forget()
    assert 'class="checks' not in html_report.html([made], index=1)
