"""Fill HTML templates that make no requests.

Its Content-Security-Policy forbids everything but its own style and script, by their hashes, and pictures within it.
Values are escaped, whatever they contain.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sightglass.browser import join

_PACKAGE = Path(__file__).parents[1]
PAGES = Environment(
    loader=FileSystemLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def fill(template: str, style: str, script: str = "", **values: Any) -> str:
    """Return a template's page with its `policy`, `style`, `script` and values; all names are paths inside the
    package, such as `report/report.html`."""
    css, js = (_PACKAGE / style).read_text("utf-8"), join(_PACKAGE / script) if script else ""
    allowed = f"; script-src '{source_hash(js)}'" if js else ""
    policy = f"default-src 'none'; img-src data:; style-src '{source_hash(css)}'{allowed}"
    policy += "; base-uri 'none'; form-action 'none'"
    return PAGES.get_template(template).render(policy=Markup(policy), style=Markup(css), script=Markup(js), **values)


def data_url(data: bytes, kind: str) -> str:
    """Return a picture's bytes as an address; `kind`: `jpeg`, `png` or `svg+xml`."""
    return f"data:image/{kind};base64,{base64_text(data)}"


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def source_hash(text: str) -> str:
    """Return what a Content-Security-Policy calls a style or script by."""
    return f"sha256-{base64_text(hashlib.sha256(text.encode()).digest())}"
