"""/docs shows the built site to those who may see the dashboard, and no file beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from docs import site_links
from sightglass.api import NOT_BUILT, documentation_routes
from sightglass.common import style


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("<h1>Documentation</h1>")
    (tmp_path / "site/cli.html").write_text("<h1>The command line</h1>")
    (tmp_path / "site/out.txt").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr(style, "SITE", tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("base", ["", "/sightglass"])
def test_the_site_is_shown_and_nothing_beside_it(base: str) -> None:
    client = TestClient(Starlette(routes=documentation_routes(base)))
    entered = client.get(f"{base}/docs")
    assert (str(entered.url).removeprefix("http://testserver"), entered.status_code) == (f"{base}/docs/", 200)
    assert "command line" in client.get(f"{base}/docs/cli.html").text
    for path in ("../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "..%5csecret.txt", "/etc/passwd", "out.txt"):
        answer = client.get(f"{base}/docs/{path}")
        assert (answer.status_code, "secret" in answer.text, "root:" in answer.text) == (404, False, False), path


def test_without_a_site_it_says_how_to_build_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "SITE", None)
    client = TestClient(Starlette(routes=documentation_routes()))
    for path in ("/docs", "/docs/cli.html"):
        assert (client.get(path).status_code, client.get(path).text) == (404, NOT_BUILT)


def test_every_page_is_in_the_menu_and_no_link_leads_nowhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    # --quiet would hide the warnings from --strict, too.
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    root = Path(site_links.__file__).parents[1]
    done = subprocess.run(call, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()


def test_what_a_page_would_fetch_from_another_host_is_found() -> None:
    own = '<script src="a.js"></script><link href="a.css"><a href="https://e.org">there</a><img src="a.webp">'
    assert site_links.fetched(own) == []
    for tag in ('<script src="https://e.org/a.js">', "<link rel=x href=//e.org/a.css>", '<img src="http://e.org">'):
        assert site_links.fetched(own + tag) == [tag]
