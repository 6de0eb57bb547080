"""Export figures, reports, films, tables and folders.

from sightglass.export import figure, html_report
Path("bus.pdf").write_bytes(figure.figure(result, format="pdf"))
Path("bus.html").write_text(html_report.html([result]), "utf-8")
"""

# No import of `annotations` from __future__: a module in here has that name.
from sightglass.common.lazy import defer_imports

_INSIDE = {"html_report": "report.html", "pdf_report": "report.pdf", "proof_files": "proof.files"}
"""Modules of the folders in here that callers know by a name of this package."""

defer_imports(__name__, modules=_INSIDE)
