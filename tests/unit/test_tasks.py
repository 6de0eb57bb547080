"""What differs by task is in `explain/tasks`: code elsewhere does not ask which task a model has."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sightglass.explain.tasks import TASKS
from sightglass.models.spec import TASKS as STATED
from tests.rooms import ROOT, every_room, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def takes_apart(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that take a sentence apart, or remove its emphasis."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and (node.func.attr, first.value) in (
                *(("partition", ". "), ("split", ". "), ("replace", "**")),
                ("removesuffix", " (untrained)"),
            ):
                yield node.lineno


def lines_of(rule: Callable[[ast.AST], Iterator[int]]) -> list[str]:
    """Return the lines outside of where tasks differ to which a rule applies, as `file:line`."""
    lines = []
    for path in sources(*every_room()):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(WHERE_TASKS_DIFFER):
            lines += [f"{name}:{line}" for line in rule(ast.parse(path.read_text("utf-8")))]
    return lines


def test_every_task_that_a_model_may_state_has_a_module() -> None:
    assert set(TASKS) == set(STATED)


def test_code_elsewhere_does_not_ask_which_task_it_is() -> None:
    lines = lines_of(asks)
    assert len(lines) <= MOST, lines


def test_no_sentence_is_taken_apart() -> None:
    """But in an untrained model's label, in records of former versions, and in what a library says."""
    allowed = {"explain/phrases.py", "models/spec.py", "sightglass/history/records.py"}
    assert {line.partition(":")[0] for line in lines_of(takes_apart)} <= allowed | {"sightglass/batch/cluster.py"}
