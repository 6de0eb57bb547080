"""The demo models behind the same front as every other: packaged, right on new scenes, honest on photographs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightglass.explain import Explainer
from sightglass.models import catalog
from sightglass.models.families.demo.loader import ONLY_DRAWN
from sightglass.models.spec import ModelSpec
from training.__main__ import page
from training.demo.scenes import draw, sample

DEMO = [spec for spec in catalog.catalog().values() if spec.loader == "demo"]


@pytest.mark.parametrize("spec", DEMO, ids=lambda spec: spec.id)
def test_every_demo_model_is_packaged_and_answers(spec: ModelSpec) -> None:
    assert catalog.available(spec)
    scene = draw(sample(9, task=spec.task, held_out=True))
    result = Explainer(spec.id)(scene.pixels, top_k=1, confidence=0.1)
    assert result.heatmaps[0].state == "ok"
    assert result.notes


def test_what_it_says_of_a_photograph_is_said_to_mean_nothing(bus: Path) -> None:
    assert ONLY_DRAWN in [finding.text for finding in Explainer("demo-s")(bus).diagnosis]
    # The page of the docs is made of the cards.
    assert (Path(__file__).parents[3] / "docs" / "demo.md").read_text("utf-8") == page()
