"""What a classifier answers if its labels do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.geometry import Geometry
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec


def test_fewer_labels_than_classes_are_one_sentence() -> None:
    spec = ModelSpec("leaf", "Own", "s", "own", "leaf", "classify", "none")
    half = (0.5, 0.5, 0.5)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    adapter = Classifier(spec, net, ("oak", "elm"), Preprocessing((8, 8), 8, half, half), "leaf")
    outputs = adapter.run(torch.zeros(1, 3, 8, 8))
    geometry = Geometry((8, 8), (8, 8), (1.0, 1.0), (0.0, 0.0))
    with pytest.raises(ModelProblem, match="leaf has 4 classes but 2 labels: give it a file with one label for each"):
        adapter.decode(outputs, geometry, top_k=4, confidence=0.25, iou=0.7)
