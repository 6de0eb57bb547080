"""Print explanations, tables, JSON, progress and errors; load models and open pictures."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass import explain
from sightglass.common import fonts
from sightglass.common.files import Json, to_json
from sightglass.common.legible import one_line, visible
from sightglass.common.work.progress import Progress
from sightglass.explain import methods, phrases, questions
from sightglass.explain.picture import image
from sightglass.explain.trust import diagnosis
from sightglass.models import catalog
from sightglass.report import table as report_table

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.rendering.style import Style
    from sightglass.explain.trust.checks import Checks

STANDARD_INPUT = "-"
"""What a command line has in place of a picture's path."""
EXAMPLE_USED = "There is no {} in this folder: the example of that name is used."
MAX_WIDTH = 100
"""Columns of a table on a wider terminal, or without a terminal."""


class Console:
    """Write to this process's stdout and stderr; a progress bar is drawn only where stderr is a terminal.

    Terminal codes are stripped, as most messages contain names from others' files.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._stdout = sys.stdout
        self._bars: Bars | None = None

    @contextlib.contextmanager
    def _without_bar(self) -> Iterator[None]:
        """Hide the progress bar: both streams can be the same terminal."""
        live = self._bars is not None and not self._bars.disable
        if live and self._bars:
            self._bars.stop()
        yield
        if live and self._bars:
            self._stdout.flush()
            self._bars.start()

    def say(self, *lines: str) -> None:
        """Print lines for a reader; nothing with --json."""
        if not self.as_json:
            with self._without_bar():
                for line in "\n".join(lines).split("\n") if lines else ():
                    print(visible(line), file=self._stdout)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Print a table for a reader; columns named in `right` are aligned to the right."""
        if self.as_json or not rows:
            return
        from rich.box import SIMPLE_HEAD
        from rich.console import Console as Screen
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for i, name in enumerate(columns):
            table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=not i)
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        screen = Screen(file=self._stdout, highlight=False)
        screen.width = min(screen.width, MAX_WIDTH) if screen.is_terminal else MAX_WIDTH
        with self._without_bar():
            screen.print(table)

    def files(self, folder: Path | str, names: Sequence[str]) -> None:
        """Print the files written to a folder, by subfolder as counts."""
        if names:
            paths = [name.rpartition("/") for name in names]
            counts = Counter(f"{inner}/" if inner else last for inner, _, last in paths)
            listed = (
                f"{name} ({phrases.plural(count, 'file')})" if name.endswith("/") else name
                for name, count in counts.items()
            )
            self.say(f"{folder}: {', '.join(listed)}")

    def result(self, value: Any) -> None:
        """Print the whole answer as JSON; nothing without --json."""
        if self.as_json:
            print(to_json(value), file=self._stdout)

    def finish(self, folder: Path, names: Sequence[str], value: Any, failed: Sequence[tuple[str, str]] = ()) -> int:
        """Print the files and the answer; return the exit code. `failed`: what could not be used, and why."""
        self.warn(*(sentence if name in sentence else f"{name}: {sentence}" for name, sentence in failed))
        self.files(folder, names)
        self.result(value | {"folder": folder, "files": names})
        return 1 if failed else 0

    def fail(self, sentence: str) -> None:
        """Print an error as the whole answer."""
        self.warn(sentence)
        if self.as_json:
            print(json.dumps({"error": one_line(sentence)}), file=self._stdout)

    def warn(self, *sentences: str, most: int | None = None, rest: str = "") -> None:
        """Print sentences to stderr, at most `most`; `rest` says what the others are."""
        for sentence in sentences[:most]:
            print(one_line(sentence), file=sys.stderr)
        if most is not None and len(sentences) > most:
            print(f"And {len(sentences) - most:,} more {rest}.", file=sys.stderr)

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        """Show a bar for the duration of the block; yields its setter: a share 0..1 (below 0: unknown) and words.

        Whatever libraries print meanwhile goes to stderr.
        """
        from rich.console import Console as Screen
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        screen = Screen(file=sys.stderr)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        with (
            Live(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bars,
            contextlib.redirect_stdout(sys.stderr),
        ):
            self._bars = bars
            task = bars.add_task(visible(text), total=None)

            def update(share: float, text: str) -> None:
                total = None if share < 0 else 1.0
                bars.update(task, total=total, completed=max(share, 0), description=visible(text))

            try:
                yield update
            finally:
                self._bars = None

    def open_picture(self, typed: str) -> Image:
        """Open an argument's picture: a file, an example, or what is piped in.

        Raises ImageProblem.
        """
        if typed == STANDARD_INPUT:
            return image.Image.open(sys.stdin.buffer, name="stdin")
        if image.example_meant(typed) is not None:
            self.warn(EXAMPLE_USED.format(typed))
        return image.Image.open(typed)

    def report(self, explanation: Explanation, style: Style) -> None:
        """Print one explanation: headline, numbers, checks and findings."""
        first = next(iter(explanation.heatmaps), None)
        name = methods.METHODS[first.method].name_for(explanation.model.task) if first else ""
        by = f", {name} at {', '.join(first.layers)}" if first else ""
        title = diagnosis.describe(explanation, style.hot).headline
        self.say(f"{explanation.image.name}: {explanation.model.id}{by}", phrases.plain_text(title))
        rows = [_list_cells(explanation, row) for row in report_table.rows(explanation)]
        columns: tuple[str, ...] = ("map of", explanation.task.value, "half of it on", "strongest at")
        ranks = explanation.ranks
        # Of the best answers the order of the rows says it.
        if explanation.options.targets and any(ranks):
            columns = (*columns, "rank")
        cells = [(*row, str(rank or "–"))[: len(columns)] for row, rank in zip(rows, ranks, strict=True)]
        self.table(columns, cells, right=columns[1:])
        for index in range(len(explanation.heatmaps)):
            self.say(*describe_checks(explanation.known_checks(index)))
        self.say(*_note_missing_letters("".join(row[0] for row in rows)))
        # Without a map of any box that a detector shows, its strongest candidates are reported instead.
        for finding in explanation.diagnosis if rows or not any(p.box for p in explanation.predictions) else ():
            if finding.text != title:
                self.say(f"{finding.level}: {phrases.plain_text(finding.text)}")


def _note_missing_letters(labels: str) -> list[str]:
    missing = fonts.name_missing(labels)
    note = f"note: No font here has {missing}: pictures have the numbers of these letters; {fonts.ADVICE}."
    return [note] if missing else []


def _list_cells(explanation: Explanation, row: Json) -> tuple[str, str, str, str]:
    """Return a map's label, score, the area of half of its heat, and its peak; `row`: of the table of numbers."""
    wording, usable = explanation.task.wording, row["state"] == "ok"
    score, unit = row["score"], explanation.model.unit_of(row["label"])
    return (
        f"{row['label']} {wording.number(explanation, row['map'])}".strip(),
        "–" if score is None else wording.short_text(score, unit),
        phrases.percent(row["half_heat_area"]) if usable else "–",
        f"{row['peak_x']:.0f}, {row['peak_y']:.0f}" if usable else row["state"],
    )


def describe_checks(checks: Checks | None, prefix: str = "") -> list[str]:
    """Return a map's checks as lines, none without checks; `prefix`: what the first line begins with."""
    if checks is None:
        return []
    others = [phrases.plain_text(mark.sentence) for mark in checks.checks if mark.state != "yes"]
    return [f"{prefix}{checks.label}: {checks.line}", *others]


def load_explainer(
    model: str, device: str, progress: Progress, options: dict[str, Any] | None = None, *, labels: Path | None = None
) -> Explainer:
    """Load a model for these options, with a progress bar; `labels`: a file of class names."""
    if not catalog.is_file(model):
        catalog.spec(model)  # reports a typo before torch is imported
    explainer = explain.Explainer(model, labels=labels, device=device, progress=progress)
    if options and options.get("question"):
        questions.settings(explainer.loaded, options["question"])  # reports a model without gradients
    return explainer
