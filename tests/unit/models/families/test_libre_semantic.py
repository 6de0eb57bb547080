"""libreyolo's semantic networks: a file of theirs opens, and each pixel has the class that the library gives it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import chosen_layers
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.explanation import explain
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.load import load
from sightglass.models.spec import ModelSpec
from tests.unit.models.specs import own_spec

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.models.families.libre_semantic import LibreSegmenter

pytest.importorskip("libreyolo")
PICTURE = np.random.default_rng(3).integers(0, 255, (90, 160, 3), np.uint8)
ARCHS = ["ppliteseg-t50", "segformer-b0"]
DEEP = "deeplabv3-mv3"
"""So deep that of an untrained one only rounding reaches the end."""
MORE = ["pidnet-s", "fcn-r50", DEEP]


def spec_of(arch: str, **table: Any) -> ModelSpec:
    return own_spec(arch, "libre_semantic", arch, "segment", **table)


@cache
def seeded(arch: str) -> LibreSegmenter:
    adapter: Any = load(spec_of(arch, random=0))
    if arch == DEEP:
        _let_through(adapter.module, adapter.prepare(PICTURE, "trained").tensor)
    # An untrained network gives every pixel one class.
    adapter.module.register_forward_hook(_centre)
    return adapter  # type: ignore[no-any-return]


def _let_through(module: torch.nn.Module, tensor: torch.Tensor) -> None:
    """Give the norms the mean and spread of what they read of a picture."""
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        module(torch.cat((tensor, tensor.flip(3).roll(40, 2))))
    for norm in norms:
        norm.eval()


def _centre(_module: Any, _inputs: Any, output: Any) -> Any:
    if isinstance(output, dict):
        return {name: one - one.mean((2, 3), keepdim=True) for name, one in output.items()}
    return output - output.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("arch", [*ARCHS, *(pytest.param(arch, marks=pytest.mark.slow) for arch in MORE)])
def test_each_pixel_has_the_librarys_class(arch: str) -> None:
    adapter = seeded(arch)
    given = adapter.prepare(PICTURE, "trained")
    with torch.no_grad():
        outputs = adapter.run(given.tensor)
        _, _, size, ratio = adapter._whole._preprocess(Pillow.fromarray(PICTURE))
        logits = adapter._whole._postprocess_semantic_logits(adapter.module(given.tensor), size, ratio=ratio)
    wanted = logits[0].argmax(0).numpy()
    assert len(np.unique(wanted)) > 1
    assert (adapter.classes_at(outputs, given.geometry) == wanted).mean() > 0.9


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_of_the_librarys_opens_and_its_regions_are_explained(tmp_path: Path, ending: str) -> None:
    arch = ARCHS[0]
    source, file = seeded(arch), tmp_path / f"mine.{ending}"
    tensors = {name: one.contiguous() for name, one in source.module.state_dict().items()}
    if ending == "pth":
        torch.save({"model": tensors}, file)
    else:
        save_file(tensors, file)
    opened: Any = load(spec_of(arch, path=str(file)))
    opened.module.register_forward_hook(_centre)
    given = opened.prepare(PICTURE, "trained")
    with torch.no_grad():
        assert torch.equal(opened.run(given.tensor).logits, source.run(given.tensor).logits)
    assert opened.spec.segments and opened.labels[0] == "road"
    resident = Resident(opened, torch.device("cpu"))
    evidence = Evidence(resident, given, chosen_layers(resident, ()))
    made = explain(Image(PICTURE), evidence, Options(per="region", top_k=1), milliseconds={})
    assert made.heatmaps[0].state == "ok"


def test_what_is_no_network_or_file_of_the_librarys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match="no size 'z': choose one of s, m"):
        load(spec_of("pidnet-z", random=0))
    file = tmp_path / "other.pth"
    torch.save({**seeded(ARCHS[0]).module.state_dict()}, file)
    with pytest.raises(WeightsProblem, match="does not hold the tensors of segformer-b0"):
        load(spec_of("segformer-b0", path=str(file)))
