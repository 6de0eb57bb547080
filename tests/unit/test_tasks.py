"""What differs by task is in `explain/tasks`: code elsewhere does not ask which task a model has."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sightglass.explain.tasks import TASKS
from sightglass.models.spec import TASKS as STATED
from tests.rooms import ROOT, every_room, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

WHERE_TASKS_DIFFER = ("explain/tasks/", "models/adapters/", "models/families/")
ADAPTERS = {"Classifier", "Detector", "Embedder", "PixelNumbers", "QueryDetector", "Segmenter"}
KINDS = {"measures", "segments", "detects", "measures_pixels"}
STATES = re.compile(r"(^|\.)(task|result|explanation)$|^task_of\(")
MOST = 20


def asks(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compare a task, or look for an adapter's class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
            names = {part.value for each in compared for part in ast.walk(each) if isinstance(part, ast.Constant)}
            tasks = [each for each in compared if ast.unparse(each).rpartition(".")[2] == "task"]
            if tasks and names & {*STATED, *TASKS}:
                yield node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in KINDS:
            # A task, and a result, may state such a fact; of a model or an adapter it stands for the task.
            if not STATES.search(ast.unparse(node.value)):
                yield node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            classes = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            if classes & ADAPTERS:
                yield node.lineno


def test_every_task_that_a_model_may_state_has_a_module() -> None:
    assert set(TASKS) == set(STATED)


def test_code_elsewhere_does_not_ask_which_task_it_is() -> None:
    lines = []
    for path in sources(*every_room()):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(WHERE_TASKS_DIFFER):
            lines += [f"{name}:{line}" for line in asks(ast.parse(path.read_text("utf-8")))]
    assert len(lines) <= MOST, lines
