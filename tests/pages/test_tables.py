"""Tables: numbers of a map, and what is copied from one."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.pages.conftest import press


def columns(app: AppTest, place: int = 0) -> dict[str, Any]:
    return json.loads(app.dataframe[place].proto.columns)


def test_all_numbers_of_a_map_stand_at_the_right(page) -> None:
    app = press(page(), "All numbers")
    listed = dict(zip(*(app.dataframe[0].value[name] for name in ("number", "value")), strict=True))
    metric = next(one for one in app.metric if one.label == "Half of the evidence is on")
    assert listed["Area holding half the evidence"] == metric.value and listed["Greatest strength"] == "1.00"
    assert columns(app)["value"]["alignment"] == "right"


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
