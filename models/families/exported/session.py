"""Run one ONNX file in the process that `workers` starts."""

from __future__ import annotations

import importlib
from typing import Any

from sightglass.common.files import Json
from sightglass.models.isolated import Answer, Array


def open_session(path: str, device: str, threads: int) -> tuple[Answer, Json]:
    """Return what runs a file, and its inputs by name, shape and type, the names of its outputs and its notes."""
    onnxruntime: Any = importlib.import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Between two passes torch masks the pictures: threads of this runtime that wait by spinning take its cores. On two
    # of them 1000 masks of a network of three layers at 224 px took 63 s with spinning, and 5 s without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    providers = [name for name in names if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    inputs = [[item.name, item.shape, item.type] for item in session.get_inputs()]

    def answer(_: Json, arrays: list[Array]) -> tuple[Json, list[Array]]:
        return {}, session.run(None, {inputs[0][0]: arrays[0]})

    notes = session.get_modelmeta().custom_metadata_map
    return answer, {"inputs": inputs, "outputs": [item.name for item in session.get_outputs()], "metadata": notes}
