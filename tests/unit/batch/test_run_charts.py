"""The charts of a run in its report are those of the page."""

import html
import json
import re
from dataclasses import replace
from operator import itemgetter

import pytest

from sightglass.batch import finished, run_charts, run_report
from sightglass.batch.finished import Result
from sightglass.common.errors import Problem
from sightglass.evaluation import figures
from sightglass.explain.evidence.cache import ByteCache
from sightglass.pages.pictures.job import open_example


@pytest.fixture
def result() -> Result:
    return finished.read(open_example().ready)


def test_report_holds_the_figures_of_the_page_and_asks_for_nothing(result: Result) -> None:
    page = run_report.html(result, 0, "<b>scenes</b>")
    held = [json.loads(html.unescape(text)) for text in re.findall(r'data-figure="([^"]*)"', page)]
    drawn = [json.loads(figures.draw(chart).to_json()) for chart in run_charts.read_charts(result, 0)]
    assert [figure["data"] for figure in held] == [figure["data"] for figure in drawn] and len(held) == 5
    assert "<h1>Demo-cls-s on &lt;b&gt;scenes&lt;/b&gt;</h1>" in page
    assert "default-src 'none'" in page and "http:" not in page.partition("<script>")[0]


def test_without_labels_there_are_no_charts(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_charts, "_charts", ByteCache(1, itemgetter(1)))
    bare = replace(result, fits=(None,) * 3, reports=(None,) * 3, plans=result.plans[:1])
    assert not run_charts.has_charts(bare, 0) and run_charts.has_charts(result, 0)
    with pytest.raises(Problem, match="no charts without labels: give the labels"):
        run_report.html(bare, 0, "scenes")
