"""Names that this version no longer has, each with a sentence that says what to use instead.

Each table maps a name to the sentence. The sentence names the removed part and its replacement.
"""

from __future__ import annotations

VERBS: dict[str, str] = {
    "evidence": "Evidence packs are gone: hand over report.html, which `sightglass batch` writes into a run's folder.",
}
"""Verbs of the command line, such as `watch`."""
OPTIONS: dict[str, str] = {
    "--places": "A scorecard compares no maps: `sightglass compare` says whether models look at the same place.",
    "--no-places": "A scorecard compares no maps: leave --no-places out.",
}
"""Flags of the command line, such as `--seal`; whichever verb they are given to."""
ROUTES: dict[str, str] = {}
"""Paths of the API without parameters, such as `/api/monitor`; paths below one count too. The answer is 410."""
SETTINGS: dict[str, str] = {}
"""Environment variables, such as `SIGHTGLASS_MONITOR`. A server that finds one logs the sentence and starts."""
PAGES: dict[str, str] = {}
"""Addresses of the dashboard, such as `watch`. The visit opens Explore with the sentence."""


def find_route(path: str) -> str | None:
    """Return the sentence for a removed path of the API, or None."""
    return next((text for route, text in ROUTES.items() if path == route or path.startswith(f"{route}/")), None)
