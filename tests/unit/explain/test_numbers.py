"""Numbers: demo-regress measures a rod's angle, and each number has its own name, unit and range."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.api.results import Predicted
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, Explanation
from sightglass.explain.phrases import describe_score
from sightglass.explain.picture.image import load_bundled
from sightglass.export import result_folder, table
from sightglass.models import catalog
from sightglass.models.demo import scenes
from sightglass.models.demo.showcase import scene
from sightglass.models.own.adding import line_of, read_lines
from sightglass.models.spec import OutputTable

OUTPUTS = (
    {"name": "steering", "unit": "°", "range": (-30, 30)},
    {"name": "speed", "unit": "km/h"},
    {"name": "doubt"},
)


class Drive(nn.Module):
    """Three numbers that have little in common."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 8, 5, 4), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def rod() -> Explanation:
    return Explainer("demo-regress")(load_bundled("a rod"))


@pytest.fixture(scope="module")
def drive() -> Explanation:
    return Explainer(Drive().eval(), outputs=OUTPUTS, preprocess={"size": 64})(load_bundled("a rod"))


def test_the_angle_of_the_example_is_right_and_its_map_is_on_the_rod(rod: Explanation) -> None:
    spec = scene("a rod")
    (found,) = rod.predictions
    assert found.label == "angle"
    assert found.score == pytest.approx(scenes.lean_of(spec.things[0]), abs=6)
    (heatmap,) = rod.heatmaps
    assert heatmap.signed
    y, x = np.unravel_index(np.abs(heatmap.values).argmax(), heatmap.values.shape)
    assert scenes.draw(spec).objects[0].mask[y, x]


def test_each_number_has_its_own_unit(drive: Explanation) -> None:
    texts = [describe_score(one.score, drive.model, one.label) for one in drive.predictions]
    assert [one.label for one in drive.predictions] == ["steering", "speed", "doubt"]
    assert texts[0].endswith("°") and texts[1].endswith("\u00a0km/h") and texts[2][-1].isdigit()
    assert not any("%" in text for text in texts)


def test_files_say_unit_and_range(drive: Explanation) -> None:
    facts = json.loads(json.dumps(result_folder.facts(drive), default=str))
    assert [one.get("unit") for one in facts["predictions"]] == ["°", "km/h", None]
    for one in facts["predictions"]:
        assert Predicted.model_validate(one).unit == one.get("unit")
    assert [one.get("range") for one in facts["predictions"]] == [[-30, 30], None, None]
    rows = list(csv.DictReader(io.StringIO(table.csv(table.rows(drive)))))
    assert [row["unit"] for row in rows] == ["°", "km/h", ""]


def test_a_table_states_outputs_and_a_wrong_one_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "models.toml"))
    head = '[model.drive]\nloader = "custom"\narch = "net.py:Net"\nweights.path = "a.pth"\n'
    rows = '[[model.drive.weights.outputs]]\nname = "steering"\nunit = "°"\nrange = [-30, 30]\n'
    (tmp_path / "models.toml").write_text(head + rows, "utf-8")
    spec = catalog.spec("drive")
    # Numbers with units are no classes.
    assert spec.measures and spec.output_of("steering") == OutputTable("steering", "°", (-30, 30))
    for wrong, said in (
        ("range = [30, -30]", "range in outputs 1 of .* should be two numbers, the least and the largest"),
        ("range = [0]", "should be two numbers"),
        ("units = 3", "unknown key units: did you mean unit"),
        ("unit = 3", "unit in outputs 1 of .* is of the wrong kind"),
    ):
        (tmp_path / "models.toml").write_text(f'{head}[[model.drive.weights.outputs]]\nname = "a"\n{wrong}\n', "utf-8")
        with pytest.raises(ModelProblem, match=said):
            catalog.spec("drive")


def test_outputs_in_python_are_checked() -> None:
    with pytest.raises(ModelProblem, match="outputs: number 1 needs the key name"):
        Explainer(Drive().eval(), outputs=[{"unit": "°"}])
    with pytest.raises(ModelProblem, match="has 3 numbers and `outputs` names 1"):
        Explainer(Drive().eval(), outputs=[{"name": "steering"}], preprocess={"size": 64})


def test_a_typed_line_is_an_output() -> None:
    lines = ["yaw, °, −90, 90", "age, years", "doubt", "share, –, 0, 1"]
    found = read_lines(lines)
    assert found == [
        {"name": "yaw", "unit": "°", "range": [-90, 90]},
        {"name": "age", "unit": "years"},
        {"name": "doubt"},
        {"name": "share", "range": [0, 1]},
    ]
    assert read_lines([line_of(OutputTable.read(one)) for one in found]) == found
    for wrong in ("yaw, °, 90, -90", "yaw, °, 1", ", °", "yaw, °, a, b", "yaw, °, 0, nan"):
        with pytest.raises(ModelProblem, match="is not understood: write name, unit, least, largest value"):
            read_lines([wrong])
