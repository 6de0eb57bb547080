"""Baseline for the API: a minimal FastAPI route without maps.

`python -m uvicorn benchmarks.api.bare:app`
"""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI, UploadFile
from PIL import Image

from benchmarks.api.clients import MODEL
from sightglass.models.catalog import spec
from sightglass.models.load import load

TOP = 5
app = FastAPI()
_lock = threading.Lock()
_adapter = load(spec(MODEL))


@app.post("/predict")
def predict(image: UploadFile) -> list[dict[str, Any]]:
    """Return the five best classes. FastAPI runs this in a thread."""
    pixels = np.array(Image.open(io.BytesIO(image.file.read())).convert("RGB"))
    tensor = _adapter.prepare(pixels, "trained").tensor
    with _lock, torch.no_grad():
        scores: Any = _adapter.module(tensor)
        best = scores.softmax(1)[0].topk(TOP)
    return [
        {"label": _adapter.labels[int(i)], "score": float(s)} for s, i in zip(best.values, best.indices, strict=True)
    ]
