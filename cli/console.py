"""What a verb says: tables for a reader or JSON for a program on stdout, progress and complaints on stderr."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Progress as Bars

    Progress = Callable[[float, str], None]

WIDEST = 100
"""Columns of a table where the terminal has more, or where there is none."""


class Teller:
    """Writes to the two streams of this process; a progress bar only where somebody watches stderr."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._stdout = sys.stdout
        self._bars: Bars | None = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Both streams can be one terminal: no bar is on the line that is written to."""
        live = self._bars is not None and not self._bars.disable
        if live and self._bars:
            self._bars.stop()
        yield
        if live and self._bars:
            self._stdout.flush()
            self._bars.start()

    def say(self, *lines: str) -> None:
        """Lines for a reader; nothing where a program reads."""
        if not self.as_json:
            with self._alone():
                for line in lines:
                    print(line, file=self._stdout)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """A table for a reader; the columns named in `right` are of numbers."""
        if self.as_json or not rows:
            return
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for i, name in enumerate(columns):
            table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=not i)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console = Console(file=self._stdout, highlight=False)
        console.width = min(console.width, WIDEST) if console.is_terminal else WIDEST
        with self._alone():
            console.print(table)

    def written(self, folder: Path | str, names: Sequence[str]) -> None:
        """Where the files are; of those in a folder of their own the number."""
        from explain.phrases import plural

        if names:
            said: dict[str, int] = {}
            for name in names:
                inner, _, last = name.rpartition("/")
                said[f"{inner}/" if inner else last] = said.get(f"{inner}/", 0) + 1
            listed = (
                f"{name} ({plural(count, 'file')})" if name.endswith("/") else name for name, count in said.items()
            )
            self.say(f"{folder}: {', '.join(listed)}")

    def result(self, value: Any) -> None:
        """For a program: the whole answer at once; nothing where a person reads."""
        if self.as_json:
            from explain.export.result_folder import to_json

            print(to_json(value), file=self._stdout)

    def failed(self, sentence: str) -> None:
        """What went wrong as the whole answer."""
        self.complain(sentence)
        if self.as_json:
            import json

            print(json.dumps({"error": sentence}), file=self._stdout)

    def complain(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)

    @contextlib.contextmanager
    def at_work(self, words: str) -> Iterator[Progress]:
        """A bar for as long as this lasts, told of a share 0..1 (below 0: not known) and words.

        What libraries print meanwhile does not get onto stdout.
        """
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        console = Console(file=sys.stderr)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        with (
            Live(*columns, console=console, transient=True, disable=not console.is_terminal) as bars,
            contextlib.redirect_stdout(sys.stderr),
        ):
            self._bars = bars
            task = bars.add_task(words, total=None)

            def told(share: float, words: str) -> None:
                bars.update(task, total=None if share < 0 else 1.0, completed=max(share, 0), description=words)

            try:
                yield told
            finally:
                self._bars = None
