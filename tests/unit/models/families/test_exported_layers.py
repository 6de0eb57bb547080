"""Files that can run code are recognised without opening them, and explained by hiding alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.explain.evidence.resident import Resident
from sightglass.explain.methods import list_methods
from sightglass.models.families.exported.loader import inspect
from sightglass.models.load import load
from tests.unit import own_nets
from tests.unit.models.specs import own_spec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")


def exported(module: nn.Module, kind: str, folder: Path) -> Path:
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    if kind == "export":
        free = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(module, (noise,), dynamic_shapes=free), folder / "m.pt2")
        return folder / "m.pt2"
    torch.jit.save(torch.jit.trace(module, noise, check_trace=False), str(folder / "m.torchscript"))
    return folder / "m.torchscript"


@pytest.mark.parametrize(("kind", "name"), [("export", "torch.export"), ("traced", "TorchScript")])
def test_such_a_file_only_answers_and_says_why(kind: str, name: str, tmp_path: Path) -> None:
    net = own_nets.BlocksCNN(4, 4).eval()
    path = exported(net, kind, tmp_path)
    adapter = load(own_spec(path.name, "exported", path.name, path=str(path), preprocessing={"size": 64}))
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    tensor = adapter.prepare(picture, "trained").tensor.repeat(3, 1, 1, 1)
    torch.testing.assert_close(adapter.run(tensor).logits, net(tensor), atol=1e-5, rtol=0)
    assert not adapter.gradients  # type: ignore[attr-defined]
    (note,) = [note for note in adapter.notes if "only answers" in note]  # type: ignore[attr-defined]
    assert f"the inside of {name} files is not read here" in note
    assert {method.family for method in list_methods(Resident(adapter, torch.device("cpu")))} == {"mask"}


def test_a_look_does_not_open_what_can_run_code(tmp_path: Path) -> None:
    for kind in ("export", "traced"):
        path = exported(own_nets.BlocksCNN(4, 4).eval(), kind, tmp_path)
        # A checkpoint's ending, as many give it.
        draft = inspect(path if kind == "export" else path.rename(tmp_path / "m.pt"))
        assert draft is not None and draft.loader == "exported"
        assert [one.key for one in draft.unknown if one.needed] == ["trust"]
    torch.save({"a": torch.zeros(2)}, tmp_path / "plain.pt")
    assert inspect(tmp_path / "plain.pt") is None
