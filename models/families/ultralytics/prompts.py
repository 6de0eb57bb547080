"""Adapt open-vocabulary detectors: YOLO-World and YOLOE.

The vocabulary is an input of the run, not a state of the module: an adapter with other words is a light copy that
shares the module, so that two sessions with two vocabularies never mix.
"""

import copy
import hashlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models.adapters.detector import Detections
from sightglass.models.checkpoints.weights import locate
from sightglass.models.families.ultralytics.detectors import YoloDetector
from sightglass.models.geometry import Box, Geometry
from sightglass.models.labels import vocabulary
from sightglass.models.spec import ModelSpec, WeightsTable

_ASSETS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
_CLIP_SHA256 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
ENCODERS = {
    "clip:ViT-B/32": WeightsTable(
        url=f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SHA256}/ViT-B-32.pt", sha256=_CLIP_SHA256
    ),
    "mobileclip:blt": WeightsTable(url=f"{_ASSETS}/mobileclip_blt.ts"),
    "mobileclip2:b": WeightsTable(url=f"{_ASSETS}/mobileclip2_b.ts"),
}
"""Sources of the text encoders' weights, by Ultralytics' names."""


class OpenVocabulary(YoloDetector):
    """A model with a user's vocabulary; `labels` is empty without one."""

    takes_words = True
    embeddings: Tensor | None
    """(1, K, D) float32 on the CPU, one row per label; None: no vocabulary yet."""

    def __init__(self, spec: ModelSpec, module: Any, labels: Sequence[str], weights_sha256: str) -> None:
        from ultralytics.nn.modules.head import YOLOEDetect

        super().__init__(spec, module, labels, weights_sha256)
        self.takes_examples = isinstance(self._head, YOLOEDetect)
        embeddings = getattr(module, "pe" if self.takes_examples else "txt_feats", None)
        self.embeddings = None if embeddings is None else embeddings.detach().cpu().float().clone()
        self._module_sha256 = weights_sha256
        if self.embeddings is None:
            self.labels = ()

    def with_classes(self, names: Sequence[str]) -> Self:
        """Return the model with these words as its vocabulary; raise ModelProblem where it cannot read them."""
        words = vocabulary(names)
        encoder = getattr(self.module, "text_model", "mobileclip:blt") if self.takes_examples else "clip:ViT-B/32"
        rows = text_embeddings(encoder, words).to(next(self.module.parameters()))
        if self.takes_examples:
            with torch.no_grad():
                rows = self._head.get_tpe(rows)
        return self._with_vocabulary(words, rows)

    def with_examples(self, pixels: NDArray[np.uint8], boxes_xyxy: Sequence[Box], labels: Sequence[str]) -> Self:
        """Return the model with a vocabulary of example boxes.

        Boxes with the same label define one class. No text encoder is needed. Raises ModelProblem where there are no
        boxes, or one is empty or lies outside the picture.
        """
        if not boxes_xyxy or len(boxes_xyxy) != len(labels):
            raise ModelProblem("Draw a box or more around what to look for, each with a name.")
        model_input = self.prepare(pixels, self.preprocessings[0])
        words = tuple(dict.fromkeys(name.strip() for name in labels))
        height, width = (side // 8 for side in model_input.tensor.shape[2:])
        masks = torch.zeros(1, len(words), height, width)
        for box, name in zip(boxes_xyxy, labels, strict=True):
            masks[0, words.index(name.strip())] += _mask(box, model_input.geometry, height, width)
        weight = next(self.module.parameters())
        with torch.no_grad():
            rows = self.module(model_input.tensor.to(weight), vpe=masks.clamp_(max=1).to(weight), return_vpe=True)
        return self._with_vocabulary(words, rows)

    def _with_vocabulary(self, words: tuple[str, ...], rows: Tensor) -> Self:
        other = copy.copy(self)
        other.labels = words
        # A prompt made in inference mode would not allow gradients.
        other.embeddings = rows.detach().cpu().float().clone()
        sha256 = hashlib.sha256("\0".join((self._module_sha256, *words)).encode())
        sha256.update(other.embeddings.numpy().tobytes())
        other.weights_sha256 = sha256.hexdigest()
        return other

    def probe(self) -> Self:
        """Return a runnable adapter for probing, if need be with placeholder words."""
        if self.embeddings is not None:
            return self
        # YOLO-World's texts are embedded by CLIP's ViT-B/32.
        width = self._head.embed if self.takes_examples else 512
        return self._with_vocabulary(("anything",), torch.nn.functional.normalize(torch.ones(1, 1, width), dim=2))

    def forward(self, tensor: Tensor) -> Detections:
        if self.embeddings is None:
            box = ", or box it in the picture with --example 50,400,240,900=coat" if self.takes_examples else ""
            raise ModelProblem(
                f"{self.spec.id} has no classes of its own: name what to look for with --words 'coat, bag'{box}."
            )
        name = "vpe" if self.takes_examples else "txt_feats"
        detections: Detections = self.module(tensor, **{name: self.embeddings.to(tensor)})
        return detections


def _mask(box: Box, geometry: Geometry, height: int, width: int) -> Tensor:
    """Return the cells of 8 x 8 input pixels, (height, width) of 0 and 1, that a box in original pixels covers."""
    x0, y0, x1, y1 = box
    rows, columns = geometry.original
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < columns and y0 < rows):
        raise ModelProblem("A box is empty or lies outside its picture: draw it around what to look for.")
    left, top, right, bottom = (edge / 8 for edge in geometry.box_to_input(box))
    across, down = torch.arange(width), torch.arange(height)
    covered: Tensor = ((across >= left) & (across < right))[None] & ((down >= top) & (down < bottom))[:, None]
    if not bool(covered.any()):
        # In the library a box thinner than a cell covers none, which means the whole picture.
        covered[min(int((top + bottom) / 2), height - 1), min(int((left + right) / 2), width - 1)] = True
    return covered.float()


def text_embeddings(encoder: str, words: tuple[str, ...]) -> Tensor:
    """Embed words by one of `ENCODERS`, (1, K, D) float32 on the CPU; raise ModelProblem without its files."""
    try:
        path = str(locate(ModelSpec(encoder, "", "", "", "", "", "", weights=ENCODERS[encoder])))
    except WeightsProblem as problem:
        raise ModelProblem(f"Words need a text encoder: {problem}") from problem
    if importlib.util.find_spec("clip") is None:
        raise ModelProblem(
            "Words need CLIP's tokenizer, which is not installed here: install it by "
            "pip install git+https://github.com/ultralytics/CLIP.git, or draw an example instead."
        )
    return _encode(encoder, path, words)


@lru_cache(maxsize=64)
def _encode(encoder: str, path: str, words: tuple[str, ...]) -> Tensor:
    # Imported only once `clip` is known to be here: without it the import asks pip for it.
    from ultralytics.nn.text_model import CLIP, MobileCLIPTS

    cpu = torch.device("cpu")
    model: Any = CLIP(path, cpu) if encoder.startswith("clip:") else MobileCLIPTS(cpu, weight=path)
    rows: Tensor = model.encode_text(model.tokenize(list(words))).float().clone()
    return rows.reshape(1, len(words), -1)
