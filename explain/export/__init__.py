"""What leaves: figures, reports, clips, tables, and the recipe that goes with each. Pure functions of an Explanation.

from explain.export import figure, report
Path("bus.pdf").write_bytes(figure.figure(result, format="pdf"))
Path("bus.html").write_text(report.html([result]))
"""
