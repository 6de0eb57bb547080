"""Views, and what is written from them: figures, reports, tables, folders, slides.

from sightglass.report import figure, html_report
Path("bus.pdf").write_bytes(figure.figure(result, format="pdf"))
Path("bus.html").write_text(html_report.html([result]), "utf-8")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.report.view import Chart as Chart
    from sightglass.report.view import ChartLine as ChartLine
    from sightglass.report.view import Map as Map
    from sightglass.report.view import Picture as Picture
    from sightglass.report.view import Table as Table
    from sightglass.report.view import View as View

_NAMES = ["Chart", "ChartLine", "Map", "Picture", "Table", "View"]
defer_imports(__name__, {"view": _NAMES})
