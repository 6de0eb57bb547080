"""Figures, reports, tables, folders of results, and slides.

from sightglass.report import figure, html_report
Path("bus.pdf").write_bytes(figure.figure(result, format="pdf"))
Path("bus.html").write_text(html_report.html([result]), "utf-8")
"""

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
