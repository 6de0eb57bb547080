"""Fill HTML pages that make no request: of reports and decks."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def fill(template: str, css: str, js: str = "", *, inline: bool = False, **values: Any) -> str:
    """Return the page of a template, with a Content-Security-Policy that allows its own style and script alone.

    `values`: the template's other values. `inline`: whether elements have styles of their own.
    """
    style = "'unsafe-inline'" if inline else f"'{source_hash(css)}'"
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src {style}; base-uri 'none'; form-action 'none'"
    )
    policy += f"; script-src '{source_hash(js)}'" if js else ""
    return PAGES.get_template(template).render(policy=Markup(policy), style=Markup(css), script=Markup(js), **values)


def read(name: str) -> str:
    """Return a file of this folder."""
    return (Path(__file__).parent / name).read_text("utf-8")


def data_url(data: bytes, kind: str) -> str:
    """Return a picture as a `data:` address; `kind`: `jpeg`, `png` or `svg+xml`."""
    return f"data:image/{kind};base64,{base64_text(data)}"


def base64_text(data: bytes) -> str:
    """Return bytes as base64 in ASCII."""
    return base64.b64encode(data).decode("ascii")


def source_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows a style or script."""
    return f"sha256-{base64_text(hashlib.sha256(text.encode()).digest())}"
