"""A method whose maps stay as they are whatever the weights is named with its counts, before anybody tests it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sightglass.deck import views
from sightglass.explain import Explainer
from sightglass.explain.findings import randomisation
from sightglass.explain.findings.diagnosis import headline
from sightglass.explain.findings.randomisation import Randomisation, find_independent
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.export import result_folder

if TYPE_CHECKING:
    from sightglass.explain.questions import Question

BOX = {
    ("detector", "where", "hirescam"): Randomisation(1, 9, 12),
    ("detector", "where", "gradcam"): Randomisation(6, 5, 12),
}


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomisation, "_load_published", lambda: BOX)


def test_a_map_that_random_weights_draw_as_well_says_so_without_a_test(published: None, scene: Path) -> None:
    made = Explainer("demo-s")(scene, per="detection", top_k=1)
    found = find_independent(made.with_method("hirescam"), 0)
    assert found is not None and (found.kind, found.level) == ("independent", "caution")
    assert "nearly the same map (9 of 12 measured): it shows which object" in found.text
    assert found in made.with_method("hirescam").diagnosis
    # Of the other method fewer than half, and of the other question nothing was measured.
    assert find_independent(made.with_method("gradcam"), 0) is None
    assert find_independent(made.with_method("hirescam").with_options(part="contrast"), 0) is None


@pytest.mark.parametrize("question", ["where", "why"])
@pytest.mark.parametrize("method", ["hirescam", "layercam", "eigengradcam"])
def test_a_box_s_map_that_does_not_depend_on_the_weights_says_so_wherever_it_is_shown(
    method: str, question: Question, scene: Path
) -> None:
    made = Explainer("demo-s")(scene, per="detection", top_k=1, method=method, question=question)
    said = "This map shows which object, not which part of it."
    assert headline(made, "Yellow").endswith(said)
    assert said in result_folder.summary(made, VIEWER_STYLE)["headline"]
    slide = views.of_map(made)
    assert said in f"{slide.title} {slide.sentence}"


def test_what_was_measured_is_said_of_a_method_before_any_test(published: None, scene: Path) -> None:
    said = randomisation.describe_method
    assert said("detector", "where", "hirescam") == "In 9 of 12 tests random weights drew nearly the same map."
    assert said("detector", "where", "gradcam") == "In 6 of 12 tests its map depended on the model."
    assert said("detector", "why", "gradcam") == said("classifier", "where", "gradcam") == ""
    made = Explainer("demo-s")(scene, per="detection", top_k=1, method="hirescam")
    assert randomisation.describe_expected(made, 0) == said("detector", "where", "hirescam")
    assert randomisation.describe_expected(made.with_options(part="contrast"), 0) == ""
