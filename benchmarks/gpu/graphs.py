"""Replay CUDA graphs and count host transfers; needs a CUDA device."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.classifiers.sightglass import GRADCAM
from benchmarks.timing import Contender
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods.from_evidence import raw_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.classifiers.case import Case

LOGGER = logging.getLogger(__name__)


def graphs(case: Case) -> list[Contender]:
    """Return the bare pass and Sightglass's, each recorded as a CUDA graph, unless that fails."""
    module = case.module()

    @torch.no_grad()
    def bare() -> Tensor:
        output: Tensor = module(case.tensor)
        return output

    def whole() -> Tensor:
        with exact(case.device):
            return bare()

    lines = [Contender("bare_exact", "bare forward in whole float32, as Sightglass runs it", _ignoring(whole))]
    for name, title, call in (
        ("bare_graph", "bare forward, as a CUDA graph", bare),
        ("sightglass_graph", f"Sightglass, {len(case.targets)} maps, as a CUDA graph", lambda: case.maps([GRADCAM])[0]),
    ):
        try:
            replay = _recorded(call)
        except RuntimeError as problem:
            LOGGER.warning("%s: %s", title, str(problem).partition("\n")[0])
        else:
            lines.append(Contender(name, title, _ignoring(replay)))
    return lines


def _ignoring(call: Callable[[], Tensor]) -> Callable[[object], Tensor]:
    return lambda _: call()


def _recorded(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def transfers(case: Case) -> dict[str, Any]:
    """Return the bytes sent to the host while raw maps become heatmaps, beside the size of the maps."""
    evidence = case.evidence()
    raws = raw_maps(evidence, GRADCAM, case.targets)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize(case.device)
    with torch.profiler.profile(activities=activities) as profile:
        made = heatmaps(
            raws,
            case.targets,
            method=GRADCAM.id,
            layers=(case.layer.path,),
            geometry=evidence.geometry,
            scale="own",
        )
        torch.cuda.synchronize(case.device)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    crossed = [event["args"].get("bytes", 0) for event in events if "Memcpy DtoH" in str(event.get("name"))]
    return {
        "gpu": torch.cuda.get_device_name(case.device),
        "bytes_to_host": sum(crossed),
        "bytes_of_maps": sum(h.at_input.nbytes + sum(raw.nbytes for raw in h.raw) for h in made),
        "bytes_of_activations": sum(activation.nbytes for activation in evidence.activations),
    }
