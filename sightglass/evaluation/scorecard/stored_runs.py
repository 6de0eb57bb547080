"""Make scorecard rows from stored batch runs with labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.scorecard.card import check_number, keep_common
from sightglass.evaluation.scorecard.rows import score
from sightglass.evaluation.scorecard.run import ModelFacts
from sightglass.explain.phrases import plural
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.evaluation.scorecard.rows import ModelScore


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of runs with labels: the folder itself, or those directly in it, by name."""
    if (folder / stored.FILE).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{stored.FILE}"))


def score_runs(
    folders: Sequence[Path], load: Callable[[Path], Evaluation] = stored.load
) -> tuple[list[ModelScore], list[str]]:
    """Return the rows of stored runs on the pictures that all have, and a sentence on those that only some have.

    Runs of the same model are called after their folders. `load` reads the evaluation of each. Raises Problem for more
    runs than a scorecard takes, a run without an evaluation, and runs without a common picture.
    """
    check_number([str(folder) for folder in folders])
    found = [load(folder) for folder in folders]
    times = Counter(one.name or one.model for one in found)
    named = [replace(one, name=_name(one, folder, times)) for one, folder in zip(found, folders, strict=True)]
    common, left = keep_common(named)
    return [score(one, _describe(one)) for one in common], (
        [f"{plural(left, 'picture')} that not every run has."] if left else []
    )


def _name(one: Evaluation, folder: Path, times: Counter[str]) -> str:
    name = one.name or one.model
    return name if times[name] == 1 else folder.name


def _describe(one: Evaluation) -> ModelFacts:
    """Return what is known of a model that is not loaded: the size of its file, where it is on this machine."""
    try:
        file = weights.find(catalog.spec(one.model))
    except Problem:
        return ModelFacts()
    return ModelFacts(file_bytes=file.stat().st_size if file is not None and file.is_file() else None)
