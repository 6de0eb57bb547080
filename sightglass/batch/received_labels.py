"""Read the labels of strangers in a process with limits of time and memory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter, ValidationError

from sightglass.common.errors import TooManyLabels
from sightglass.evaluation.ground_truth import GroundTruth
from sightglass.evaluation.kinds import KINDS
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.models import isolated

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.common.files import Json

ANY = ""
"""The kind of evaluation whose labels are boxes or classes."""
SECONDS = 120.0
"""Time of all processors for all labels of an upload: 200,000 files of YOLO take 20."""
_LABELS = TypeAdapter(GroundTruth)


def read_received(path: Path, evaluation: str, labels_as: LabelOptions) -> GroundTruth:
    """Read the labels of a file or a `.zip` as `KINDS[evaluation]` does.

    `labels_as`: how those that can be read in several ways are read.
    Raises Problem for what has none, and TooManyLabels where reading takes too long or too much memory.
    """
    memory = isolated.memory_for(path.stat().st_size)
    try:
        with ExitStack() as ending:
            process = isolated.Process(_start, seconds=SECONDS, memory=memory)
            ending.callback(process.end)
            question = {"path": str(path), "evaluation": evaluation, "labels_as": asdict(labels_as)}
            _, (written,) = process.ask(question, [], SECONDS)
        return _LABELS.validate_json(written.tobytes())
    except (isolated.Lost, isolated.Refused, MemoryError, ValidationError) as error:
        reason = "takes too long to read, or too much memory"
        raise TooManyLabels(f"{path.name} {reason}: give its labels in several parts.") from error


def _start() -> tuple[isolated.Answer, Json]:
    return _read, {}


def _read(head: Json, _: list[isolated.Array]) -> tuple[Json, list[isolated.Array]]:
    truth = KINDS[head["evaluation"]].read(head["path"], LabelOptions(**head["labels_as"]))
    return {}, [np.frombuffer(_LABELS.dump_json(truth), np.uint8)]
