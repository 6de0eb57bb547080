"""Draw tables."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from sightglass.common.files import csv_files
from sightglass.ui.session.markdown import escape

MAX_CONTENT_ROWS = 13
"""Rows of a table that is shown whole; longer ones scroll."""


def table(
    rows: Sequence[Mapping[str, Any]],
    *,
    right: Collection[str] = (),
    help: Mapping[str, str] | None = None,
    height: int | None = None,
) -> None:
    """Draw rows without an index; a column `meaning` is wide.

    `right`: columns of numbers that are texts already. `help`: of a column, by its name. The table's own toolbar copies
    it as it is shown: what a spreadsheet would read as a formula has an apostrophe before it, as in every CSV.
    """
    help = help or {}
    text = st.column_config.TextColumn
    config: dict[str, Any] = {name: text(help=words) for name, words in help.items()}
    config |= {name: text(help=help.get(name), alignment="right") for name in right}
    config["meaning"] = text(width="large")
    config = {csv_files.escape(name): column for name, column in config.items()}
    st.dataframe(
        _no_formulas(rows, right), hide_index=True, column_config=config, height=height or "auto", placeholder="–"
    )


def text_table(rows: Sequence[Mapping[str, str]], *, right: Collection[str] = ()) -> None:
    """Draw a table of literal texts.

    Its columns are as wide as their texts; long ones take several lines. `right`: columns that are aligned at the
    right.
    """
    names = [*rows[0]]
    rulers = ["---:" if name in right else "---" for name in names]
    cells = [[escape(row[name]).replace("|", "&#124;") for name in names] for row in rows]
    lines = [names, rulers, *cells]
    st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def choose_row(
    rows: Sequence[Mapping[str, Any]], *, key: str, columns: Mapping[str, Any] | None = None, height: int = 480
) -> int | None:
    """Draw a table and return the chosen row's index, at first the first one's, if any."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    event: Any = st.dataframe(
        _no_formulas([{name: row[name] for name in names} for row in rows], ()),
        key=key,
        hide_index=True,
        column_config=columns,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        height="content" if len(rows) <= MAX_CONTENT_ROWS else height,
    )
    return next((row for row in event.selection.rows if row < len(rows)), None)


def _no_formulas(rows: Sequence[Mapping[str, Any]], right: Collection[str]) -> list[dict[str, Any]]:
    """Return rows without formula-like names or texts, except at the right."""
    return [
        {csv_files.escape(name): cell if name in right else csv_files.escape(cell) for name, cell in row.items()}
        for row in rows
    ]


def score(format: str = "%.1f %%") -> Any:
    """Return the configuration of a 0–100 column: bar and number."""
    return st.column_config.ProgressColumn(min_value=0, max_value=100, format=format)
