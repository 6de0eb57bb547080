"""Tables: numbers at the right, one format in each column, and all of them drawn in one place."""

from __future__ import annotations

import json
import re
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.pages.conftest import ROOT, press
from tests.rooms import sources

FORMATTED = re.compile(r"[<\u2212-]?\s?\d[\d.,]*(\s\S{1,3})?(, \d+(\s%)?)*")
"""`405, 540`, `< 1 %`, `35 ms`."""


def columns(app: AppTest, place: int = 0) -> dict[str, Any]:
    return json.loads(app.dataframe[place].proto.columns)


def test_every_table_is_drawn_by_the_same_function() -> None:
    draws = re.compile(r"\.(dataframe|data_editor)\(")
    found = [path for path in sources("ui", "pages") if draws.search(path.read_text("utf-8"))]
    assert found == [ROOT / "sightglass/ui/views/tables.py"]


def test_all_numbers_of_a_map_stand_at_the_right_and_have_their_unit(page) -> None:
    app = page()
    press(app, "All numbers")
    listed, regions = app.dataframe[0].value, app.dataframe[1].value
    assert columns(app)["value"]["alignment"] == "right"
    values = dict(zip(listed["number"], listed["value"], strict=True))
    assert values["Greatest strength"] == "1.00"
    metric = next(one for one in app.metric if one.label == "Half the evidence on")
    assert values["Area holding half the evidence"] == metric.value
    assert [columns(app, 1)[name]["alignment"] for name in regions] == ["right"] * 3
    numbers = [value for name, value in values.items() if name != "The same everywhere"]
    assert [text for text in [*numbers, *regions.to_numpy().ravel()] if not FORMATTED.fullmatch(text)] == []


def test_what_is_copied_has_no_formulas() -> None:
    def draw() -> None:
        import pandas as pd

        from sightglass.ui.views import tables

        hostile, rows = "=cmd()", [{"picture": "=cmd()", "@name": "plain", "change": "-12 %", "box": 3}]
        tables.table(rows, right=("change",), help={"@name": "Whose."})
        frame = pd.DataFrame({hostile: ["+a.jpg", None], "score": [-1.0, 0.5], "kind": pd.Categorical(["-x", "y"])})
        tables.table(frame, columns={hostile: tables.number("%.2f", "")})

    app = AppTest.from_function(draw).run()
    listed, frame = (one.value for one in app.dataframe)
    assert listed.to_dict("records") == [{"picture": "'=cmd()", "'@name": "plain", "change": "-12 %", "box": 3}]
    assert list(frame.columns) == ["'=cmd()", "score", "kind"] and frame["'=cmd()"].isna()[1]
    assert [frame["'=cmd()"][0], *frame["score"], *frame["kind"]] == ["'+a.jpg", -1.0, 0.5, "'-x", "y"]
    assert "'@name" in columns(app) and "'=cmd()" in columns(app, 1)
