"""The charts of a finished run as an HTML page that needs no network."""

from sightglass.batch.finished import Result, describe
from sightglass.batch.run_charts import read_charts
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.evaluation import figures
from sightglass.evaluation.charts import Chart
from sightglass.explain.phrases import plural
from sightglass.report.html_page import fill, read


def html(result: Result, model: int, source: str) -> str:
    """Return a page with the charts of one model of a result.

    `model`: its index; `source`: what its pictures are called. Raises Problem without labels.
    """
    from plotly.offline import get_plotlyjs

    charts = read_charts(result, model)
    if not charts:
        raise Problem("There are no charts without labels: give the labels of the pictures.")
    return fill(
        "charts.html",
        read("report.css"),
        f"{get_plotlyjs()}\n{read('charts.js')}",
        inline=True,
        title=f"{result.names[model]} on {source}",
        lines=[line for line in (*describe(result), result.left_out) if line],
        about=f"{plural(len(charts), 'chart')}.",
        charts=[_describe(chart) for chart in charts],
    )


def _describe(chart: Chart) -> Json:
    """Return the template values of a chart.

    Its colours are light whatever the theme of the pages is.
    """
    figure = figures.draw(chart)
    figure.update_layout(template="plotly_white", font={"color": "#171717"})
    return {"title": chart.title, "note": chart.note, "figure": figure.to_json()}
