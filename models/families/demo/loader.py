"""Load the packaged demo models."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.models import labels
from sightglass.models.adapter import Adapter, Progress
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.segmenter import Segmenter
from sightglass.models.checkpoints.weights import locate, sha256_of
from sightglass.models.demo.pictures import CAPTIONED_SIDE, CLASSES, TASKS, pictures
from sightglass.models.families.demo import nets
from sightglass.models.families.ultralytics.loader import adapt
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

NOTES = {
    "demo-cls-cheat": "Made to cheat: in its training pictures a stamp in the corner went with every rod-cross.",
    "demo-cls-texture": "Made to cheat: in its training pictures a woven background went with every star.",
}
STEM = {"0": -0.27, "2": -0.25, "3": -0.39, "4": -0.47}
"""By how many cells, down and across, those of the packaged transformer's stem lie off an even grid: centroids of
the gradient on 20 scenes, both directions together. What it gains on others is in
benchmarks/results/alignment.md. Tokens after the first block see too much of the picture to be placed."""
TOKENS = -0.46
CELL_OFFSETS = {
    "demo-vit": (
        *((f"patch_embed.proj.{stage}", offset, offset) for stage, offset in STEM.items()),
        *((path, TOKENS, TOKENS) for path in ("patch_embed.proj.5", "patch_embed.proj", "patch_embed")),
    )
}
ONLY_DRAWN = "Trained on drawn scenes only: its answers about photographs mean nothing."


def _describer(spec: ModelSpec, path: Path) -> Adapter:
    if find_spec("transformers") is None:
        raise ModelProblem(f"{spec.id} needs Transformers: pip install 'transformers>=5.24,<6'.")
    # Transformers takes a while to import.
    from sightglass.models.families.demo import words
    from sightglass.models.families.transformers.describer import Describer, Reader

    reader = Reader(nets.fill(words.build(), path), words.WordsProcessor())
    return Describer(spec, reader, CAPTIONED_SIDE, sha256_of(path), pictures("captioned"), (ONLY_DRAWN,))


def load(spec: ModelSpec, progress: Progress | None = None) -> Adapter:
    """Build the model on the CPU; raise WeightsProblem for an unfitting file."""
    path = locate(spec, progress=progress)
    if spec.task == "describe":
        return _describer(spec, path)
    module: Any = nets.trained(spec.arch, path.parent)
    adapter: Adapter
    if spec.task == "detect":
        module.args = {"imgsz": TASKS["detect"]}
        adapter = adapt(spec, module, sha256_of(path))
    else:
        side = TASKS[spec.task]
        preprocessing = Preprocessing((side, side), side, nets.MEAN, nets.STD, "bicubic")
        names = ("background", *CLASSES) if spec.task == "segment" else labels.stated_names(spec) or CLASSES
        kind = Segmenter if spec.task == "segment" else Classifier
        adapter = kind(spec, module, names, preprocessing, sha256_of(path))
        adapter.cell_offsets = CELL_OFFSETS.get(spec.arch, ())
    adapter.notes = (NOTES.get(spec.arch, ONLY_DRAWN),)
    return adapter
