"""Maps of libraries' models equal plain autograd on the module itself, or one sentence says why there is none.

`python -m tests.zoo.test_zoo` writes the table in docs/models.md; after names of models or libraries, it prints those.
`python -m pytest -m release tests/zoo -k timm` tries one library, in at most an hour on one core.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from tests.conftest import asset
from tests.zoo.compare import Outcome, judge
from tests.zoo.sources import cases

SMALL = [
    *("ViTForImageClassification", "SegformerForSemanticSegmentation", "DetrForObjectDetection", "ConvNextBackbone"),
    *("DPTForDepthEstimation", "mobilenet_v3_small", "ssdlite320_mobilenet_v3_large", "yolo11"),
    *("DeiTForImageClassificationWithTeacher", "Dinov2Model", "RfDetrForObjectDetection", "mnasnet0_5", "eva"),
    *("yolov8-ghost-p2",),
]
PAGE = Path(__file__).parents[2] / "docs" / "models.md"
TITLE = "\n## Models of other libraries\n"
HEAD = """
Each is small and untrained. Its map is compared with plain autograd on the module itself at the layer that the map
names, its place with marks in the picture (unless a note says that it was inferred), and its input with what the
library's own function makes. *Equal*: all agree. *Said*: one sentence says why there is no map, or none to compare.
Written by `python -m tests.zoo.test_zoo`.

| library | from | equal | said | differs | not built small |
|---|---|---|---|---|---|
"""
Outcomes = dict[tuple[str, str, str], Outcome]
"""By library, name, and where the model came from."""


def judge_all(*names: str) -> Outcomes:
    found: Outcomes = {}
    for case in cases():
        if not names or case.name in names or case.library in names:
            for source, outcome in judge(case, asset("ultralytics", "assets", "bus.jpg")).items():
                found[case.library, case.name, source] = outcome
                print(f"{outcome.kind:10}{source:7}{case.library}: {case.name}  {outcome.reason}", flush=True)
    return found


def rows(found: Outcomes) -> str:
    """Return the table's rows."""
    text = ""
    for library, source in dict.fromkeys((library, source) for library, _, source in found):
        kinds = [outcome.kind for key, outcome in found.items() if key[::2] == (library, source)]
        counts = [str(kinds.count(kind)) for kind in ("equal", "said", "wrong", "not built")]
        text += f"| {' | '.join((library, source, *counts))} |\n"
    return text


def differing(found: Outcomes) -> dict[str, str]:
    return {name: outcome.reason for (_, name, _), outcome in found.items() if outcome.kind == "wrong"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SMALL)
def test_model(name: str) -> None:
    assert not differing(judge_all(name))


@pytest.mark.release
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["Transformers", "torchvision", "timm", "Ultralytics"])
def test_every_model(library: str) -> None:
    found = judge_all(library)
    assert not differing(found)
    assert rows(found) in PAGE.read_text("utf-8"), "run `python -m tests.zoo.test_zoo`"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    outcomes = judge_all(*sys.argv[1:])
    if not sys.argv[1:]:
        PAGE.write_text(PAGE.read_text("utf-8").partition(TITLE)[0] + TITLE + HEAD + rows(outcomes), "utf-8")
