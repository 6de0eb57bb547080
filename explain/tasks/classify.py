"""One class of many, and several classes at once."""

from __future__ import annotations

from sightglass.explain.tasks.task import Task


class Classify(Task):
    """One class of many: scores are a softmax."""

    id = "classify"
    title = "Classify"
    competes = True
    meaning_of_row = "one class of many"


class Multilabel(Task):
    """Several classes at once: each has a sigmoid of its own."""

    id = "multilabel"
    gives = "names several classes"
    title = "Several classes"
    meaning_of_row = "several classes at once"
