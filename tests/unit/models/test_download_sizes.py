"""How large a download is: said of every model that can be downloaded, and equal to what its architecture takes."""

from __future__ import annotations

import importlib.util
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch

from sightglass.models import catalog
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sightglass.models.spec import ModelSpec

PACKAGED = [spec for specs in catalog.families(packaged=True).values() for spec in specs]
CLASSES = {"-oiv7": 601, "-obb": 15, "-pf": 4585}
"""Of checkpoints that know others than their architecture's default: Open Images, DOTA, and YOLOE's own vocabulary."""


def of_torchvision(spec: ModelSpec) -> float:
    """Return what torchvision publishes about the file, in bytes."""
    return _published()[spec.weights.url] * 2**20


@cache
def _published() -> Mapping[str, float]:
    from torchvision import models

    every = [one for name in models.list_models() for one in models.get_model_weights(name)]
    return {one.url: one.meta["_file_size"] for one in every}


def of_timm(spec: ModelSpec) -> float:
    import timm

    with torch.device("meta"):
        return nbytes(timm.create_model(spec.arch))


def of_yolox(spec: ModelSpec) -> float:
    """Megvii's files have the optimizer's momentum beside the weights, MMDetection's their running averages."""
    from sightglass.models.families.yolox import _SIZES, Shape, Yolox

    with torch.device("meta"):
        return 2 * nbytes(Yolox(Shape(*_SIZES[spec.arch], 80)))


def of_ultralytics(spec: ModelSpec) -> float:
    """Ultralytics publishes float16."""
    from sightglass.models.families.ultralytics.loader import import_quietly, yaml_of

    import_quietly()
    from ultralytics.nn.tasks import parse_model, yaml_model_load

    table = yaml_model_load(yaml_of(spec.arch.replace("-pf", "")))
    classes = next((count for ending, count in CLASSES.items() if spec.id.endswith(ending)), None)
    if classes is not None and not spec.id.endswith("-pf"):
        table["nc"] = classes
    with torch.device("meta"):
        module, _ = parse_model(deepcopy(table), ch=3, verbose=False)
        if spec.id.endswith("-pf"):
            _with_its_vocabulary(module[-1], CLASSES["-pf"])
    return nbytes(module) / 2


def _with_its_vocabulary(head: Any, words: int) -> None:
    """Change a YOLOE's head as `set_vocab` of Ultralytics does: layers of words in place of what reads a text."""
    both = getattr(head, "one2one_cv3", None)
    if both is not None:
        head.cv2, head.cv3, head.cv4 = head.one2one_cv2, both, head.one2one_cv4
        del head.one2one_cv2, head.one2one_cv3, head.one2one_cv4
    for branch in head.cv3:
        width = branch[-1].in_channels
        branch[-1] = torch.nn.ModuleList([torch.nn.Conv2d(width, words, 1), torch.nn.Conv2d(width, 1, 1)])
    del head.cv4, head.reprta


def nbytes(module: torch.nn.Module) -> int:
    """Return the bytes of what is saved of a module, as float32."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())


COUNTS: dict[str, Callable[[ModelSpec], float]] = {
    "torchvision": of_torchvision,
    "timm": of_timm,
    "ultralytics": of_ultralytics,
    "yolox": of_yolox,
}
NEEDS = {"yolox": "libreyolo"}


def families() -> Iterator[Any]:
    """One of each loader, and the others before a release: what they say only changes with the catalogue."""
    seen = set()
    for family, specs in catalog.families(packaged=True).items():
        loader = specs[0].loader
        yield pytest.param(family, marks=[pytest.mark.slow] if loader in seen else [])
        seen.add(loader)


@pytest.mark.parametrize("family", [*families()])
def test_what_is_said_is_what_the_architecture_takes(family: str) -> None:
    wrong = {}
    for spec in catalog.families(packaged=True)[family]:
        library = spec.loader.partition(".")[0]
        if not weights.downloadable(spec):
            assert spec.megabytes is None, f"{spec.id} cannot be downloaded"
            continue
        if importlib.util.find_spec(NEEDS.get(library, library)) is None:
            pytest.skip(f"{library} is not installed")
        if spec.megabytes != (counted := float(f"{COUNTS[library](spec) / 1e6:.3g}")):
            wrong[spec.size] = counted
    assert not wrong, f"{family}: write these into models/catalog.toml"


def test_every_download_says_how_large_it_is() -> None:
    assert [spec.id for spec in PACKAGED if weights.downloadable(spec) and not spec.megabytes] == []
    assert len([spec for spec in PACKAGED if spec.megabytes]) > 250
