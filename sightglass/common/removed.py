"""Names that this version no longer has, each with a sentence that says what to use instead.

Each table maps a name to the sentence. The sentence names the removed part and its replacement.
"""

from __future__ import annotations

VERBS: dict[str, str] = {
    "users": "Sightglass keeps no list of people: set SIGHTGLASS_TOKEN, or [auth] in .streamlit/secrets.toml "
    "(docs/security.md).",
}
"""Verbs of the command line, such as `watch`."""
OPTIONS: dict[str, str] = {}
"""Flags of the command line, such as `--seal`; whichever verb they are given to."""
ROUTES: dict[str, str] = {}
"""Paths of the API without parameters, such as `/api/monitor`; paths below one count too. The answer is 410."""
SETTINGS: dict[str, str] = {
    "SIGHTGLASS_ACCESS": "SIGHTGLASS_ACCESS is not read any more: set SIGHTGLASS_TOKEN, [auth] in "
    ".streamlit/secrets.toml, or SIGHTGLASS_OPEN=1.",
    "SIGHTGLASS_PASSWORD": "SIGHTGLASS_PASSWORD is not read any more: set SIGHTGLASS_TOKEN.",
    "SIGHTGLASS_PEOPLE": "SIGHTGLASS_PEOPLE is not read any more: SIGHTGLASS_EMAILS lists the e-mail addresses "
    "that may sign in.",
    "SIGHTGLASS_NEWCOMERS": "SIGHTGLASS_NEWCOMERS is not read any more: everybody whom the provider signs in gets in, "
    "or those in SIGHTGLASS_EMAILS.",
    "SIGHTGLASS_OIDC_CLAIM": "SIGHTGLASS_OIDC_CLAIM is not read any more: a verified e-mail "
    "address counts, else `sub`.",
    "SIGHTGLASS_PROXY_HEADER": "SIGHTGLASS_PROXY_HEADER is not read any more: let the proxy send SIGHTGLASS_TOKEN as "
    "`Authorization: Bearer`.",
    "SIGHTGLASS_PROXIES": "SIGHTGLASS_PROXIES is not read any more: set FORWARDED_ALLOW_IPS.",
    "SIGHTGLASS_REQUESTS_PER_MINUTE": "SIGHTGLASS_REQUESTS_PER_MINUTE is not read any more: limit requests at "
    "the proxy.",
}
"""Environment variables, such as `SIGHTGLASS_MONITOR`. A server that finds one logs the sentence and starts."""
PAGES: dict[str, str] = {
    "account": "There are no accounts any more: docs/security.md says how to sign in.",
}
"""Addresses of the dashboard, such as `watch`. The visit opens Explore with the sentence."""


def find_route(path: str) -> str | None:
    """Return the sentence for a removed path of the API, or None."""
    return next((text for route, text in ROUTES.items() if path == route or path.startswith(f"{route}/")), None)
