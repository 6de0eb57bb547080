"""The two ready-made questions: what each stands for on a model, and what a caller may still change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, replay
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.questions import settings
from sightglass.models.catalog import spec
from sightglass.models.load import load
from sightglass.models.spec import WhyTable
from tests.built import built

LAYERS = ("blocks.2", "blocks.4", "bn2")


@pytest.fixture(scope="module")
def lite() -> Explainer:
    return Explainer("efficientnet-lite0")


def test_why_is_the_contrast_by_layercam_from_fine_to_coarse(lite: Explainer, bus: Path) -> None:
    asked, plain = lite(bus, question="why"), lite(bus, part="contrast", method="layercam", layers=LAYERS)
    assert asked.recipe == plain.recipe
    np.testing.assert_array_equal(asked.heatmaps[0].values, plain.heatmaps[0].values)
    assert [raw.shape for raw in asked.heatmaps[0].raw] == [(28, 28), (14, 14), (7, 7)]


def test_a_recipe_of_a_question_replays(lite: Explainer, bus: Path) -> None:
    asked = lite(bus, question="why")
    np.testing.assert_array_equal(asked.heatmaps[0].values, replay(asked.recipe, bus).heatmaps[0].values)


def test_a_detector_is_asked_in_its_backbone() -> None:
    resident = Resident(built("yolo11n.yaml"), torch.device("cpu"))
    assert settings(resident, "why") == {"part": "contrast", "method": "layercam", "layers": ("model.4",)}


def test_the_catalogue_can_say_how_a_model_is_asked_why() -> None:
    why = WhyTable("hirescam", ("blocks.3",))
    resident = Resident(load(replace(spec("efficientnet-lite0"), why=why)), torch.device("cpu"))
    assert settings(resident, "why") == {"part": "contrast", "method": "hirescam", "layers": ("blocks.3",)}


def test_another_question_is_refused_in_one_sentence(lite: Explainer, bus: Path) -> None:
    with pytest.raises(ModelProblem, match=r"^There is no question 'when': ask where or why\.$"):
        lite(bus, question="when")  # type: ignore[arg-type]
