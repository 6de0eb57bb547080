"""Locate the dashboard, its pages and the documentation: checkout or installation."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
CHECKOUT = None if (PACKAGE / "explain").is_dir() else PACKAGE.parent
"""The repository's folder, where `explain`, `models` and `pages` stand beside the package; None in an installation."""
DASHBOARD = CHECKOUT or PACKAGE / "dashboard"
"""Folder of `dashboard.py` and `assets`."""
PAGES = (CHECKOUT or PACKAGE) / "pages"
SITE = CHECKOUT / "build" / "site" if CHECKOUT else None
"""Folder of the documentation's site, which `make docs` builds; None in an installation."""


def has_site() -> bool:
    """Return whether the documentation's site was built."""
    return SITE is not None and (SITE / "index.html").is_file()
