"""Write explanations as figures, reports, films, tables and folders, each with the recipe that reproduces it.

from explain.export import figure, html_report
Path("bus.pdf").write_bytes(figure.figure(result, format="pdf"))
Path("bus.html").write_text(html_report.html([result]), "utf-8")
"""
