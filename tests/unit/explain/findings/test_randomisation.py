"""A method whose maps stay as they are whatever the weights is named with its counts, before anybody tests it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sightglass.explain import Explainer
from sightglass.explain.findings import randomisation
from sightglass.explain.findings.randomisation import Randomisation, find_independent
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    pass

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


def test_other_families_have_figures_of_their_own(published: None, scene: Path, persons: str) -> None:
    assert find_independent(Explainer("demo-cls-s")(scene, top_k=1, method="hirescam"), 0) is None
    assert randomisation.family_of("classify", Explainer("demo-vit").resident) == "transformer"
    assert randomisation.family_of("classify", Explainer("demo-cls-s").resident) == "classifier"
    assert find_independent(Explainer(persons)(scene), 0) is None
    # A detector whose boxes are queries is none of those that ignore training.
    detr = Explainer("demo-detr")(scene, top_k=1)
    assert randomisation.family_of("detect", detr.evidence.resident) == "query"
    assert find_independent(detr, 0) is None and not randomisation.describe_independent(detr, 0)
    # Nobody measured models that give numbers.
    assert not randomisation.describe_expected(Explainer("demo-regress")(scene), 0)


def test_what_is_published_is_of_methods_that_there_are_and_adds_up() -> None:
    found = randomisation._load_published()
    assert ("detector", "where", "hirescam") in found and ("classifier", "where", "gradcam") in found
    for (family, question, method), one in found.items():
        assert family in ("detector", "query", "classifier", "transformer") and question in ("where", "why")
        # Of six pictures a map may be empty.
        assert method in METHODS and 0 <= one.yes + one.no <= one.maps and one.maps >= 4


def test_what_was_measured_is_said_of_a_method_before_any_test(published: None, scene: Path) -> None:
    said = randomisation.describe_method
    assert said("detector", "where", "hirescam") == "In 9 of 12 tests random weights drew nearly the same map."
    assert said("detector", "where", "gradcam") == "In 6 of 12 tests its map depended on the model."
    assert said("detector", "why", "gradcam") == said("classifier", "where", "gradcam") == ""
    made = Explainer("demo-s")(scene, per="detection", top_k=1, method="hirescam")
    assert randomisation.describe_expected(made, 0) == said("detector", "where", "hirescam")
    assert randomisation.describe_expected(made.with_options(part="contrast"), 0) == ""


def test_at_other_layers_than_were_measured_nothing_is_said(published: None, scene: Path) -> None:
    explainer = Explainer("demo-s")
    first = explainer.layers[0].path
    assert (first,) != explainer.default_layers
    own, other = (
        explainer(scene, per="detection", top_k=1, method="hirescam", layers=layers)
        for layers in (explainer.default_layers, (first,))
    )
    assert find_independent(own, 0) is not None and randomisation.describe_expected(own, 0)
    assert find_independent(other, 0) is None and randomisation.describe_expected(other, 0) == ""
    assert randomisation.asks_at(explainer.resident, "where", ())
    assert not randomisation.asks_at(explainer.resident, "why", ())
