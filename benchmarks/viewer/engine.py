"""Time the engine alone, with the dashboard's number of threads: a file's path in, milliseconds out."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def engine() -> Iterator[Callable[[Path], float]]:
    """Start a process that explains files; yield the function that times one, in milliseconds."""
    command = [sys.executable, "-m", "benchmarks.viewer.engine"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    paths, times = process.stdin, process.stdout

    def explain(path: Path) -> float:
        print(path, file=paths, flush=True)
        if not (answer := times.readline()):
            raise RuntimeError("the engine's process ended")
        return float(answer)

    try:
        yield explain
    finally:
        paths.close()
        process.wait(10)


def main() -> None:
    # Before torch: it sets the threads.
    from components.session import page

    assert page
    from explain import Explainer
    from explain.picture.image import Image

    explainer = Explainer()
    for line in sys.stdin:
        data = Path(line.strip()).read_bytes()
        start = time.perf_counter()
        explanation = explainer(Image.open(data))
        assert all(heatmap.at_input.size for heatmap in explanation.heatmaps)
        print((time.perf_counter() - start) * 1e3, flush=True)


if __name__ == "__main__":
    main()
