"""A classifier as OpenVINO saves it: its first class wins where a picture is redder than it is blue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path


def save(folder: Path) -> list[Path]:
    """Return the two files of the model; skip the test where the library is not installed."""
    openvino = pytest.importorskip("openvino")
    ops, path = openvino.opset13, folder / "m.xml"
    picture = ops.parameter([1, 3, 32, 32], np.float32, "images")
    means = ops.reduce_mean(picture, np.array([2, 3]))
    logits = ops.matmul(means, np.array([[4, -4], [0, 0], [-4, 4]], np.float32), False, False)
    openvino.save_model(openvino.Model([logits], [picture]), path, compress_to_fp16=False)
    return [path, path.with_suffix(".bin")]
