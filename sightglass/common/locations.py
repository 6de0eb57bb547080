"""Locate the dashboard's script and pages, in a checkout or an installation."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = None if (PACKAGE / "explain").is_dir() else PACKAGE.parent
"""The repository's folder, where `explain`, `models` and `pages` stand beside the package; None in an installation."""
DASHBOARD = CHECKOUT or PACKAGE / "dashboard"
"""Folder of `dashboard.py` and `assets`."""
PAGES = (CHECKOUT or PACKAGE) / "pages"
