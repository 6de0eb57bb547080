"""Load the model of a row of the catalogue."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from common.errors import Cancelled, ModelProblem, Problem
from models.loaders import loader_module

if TYPE_CHECKING:
    from models.adapter import Adapter, ModelSpec
    from models.weights import Progress

LOGGER = logging.getLogger(__name__)


def load(spec: ModelSpec, *, progress: Progress | None = None) -> Adapter:
    """Load a model on the CPU with its family's own loader.

    `progress` is called during a download, and stops it by raising Cancelled. Any error of a library becomes a
    ModelProblem of one sentence; the traceback goes to the log.
    """
    try:
        adapter: Adapter = loader_module(spec.loader).load(spec, progress)
        return adapter
    except (Problem, Cancelled, MemoryError):
        raise
    except ImportError as problem:
        LOGGER.exception("cannot import what %s needs", spec.id)
        raise ModelProblem(
            f"{spec.id} needs {problem.name or spec.loader}, which is not installed here or does not start."
        ) from problem
    except Exception as problem:
        LOGGER.exception("cannot load %s", spec.id)
        reason = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        raise ModelProblem(f"{spec.id} could not be loaded ({reason[:200].rstrip('.:')}).") from problem
