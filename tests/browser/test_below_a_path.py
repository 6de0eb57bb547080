"""Below a path of a proxy, everything works as at the root: nginx, set up as docs/hosting.md shows it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import provide
import pytest
from playwright.sync_api import expect
from screen import ARTEFACTS, CANVAS, LIMIT, ROOT, picture_name

from benchmarks.processes import free_port
from benchmarks.viewer.browser import FLAGS
from tests.servers import until_it_answers
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Response

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SITE, TOKEN = "example.org", "a-token-of-thirty-two-characters"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
OUTSIDE = """error_log {folder}/error.log; pid {folder}/pid; daemon off; user root;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    {inside}
}}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the proxy, below which the dashboard is."""
    if NGINX is None:
        pytest.skip("nginx is not installed here")
    folder, port, behind = tmp_path_factory.mktemp("nginx"), free_port(), free_port()
    (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/hosting.md").read_text("utf-8"), re.DOTALL)
    inside = block.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8501", f"127.0.0.1:{behind}")
    (folder / "nginx.conf").write_text(OUTSIDE.format(folder=folder, inside=inside))
    named = {"SIGHTGLASS_TOKEN": TOKEN, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    at = {"DATA": str(folder / "data"), "PORT": str(behind), "HOST": "127.0.0.1", "BASE_PATH": "sightglass"}
    ARTEFACTS.mkdir(exist_ok=True)
    with (ARTEFACTS / "below-a-path.log").open("wb") as log:
        command = [str(ROOT / "scripts/start"), "dashboard", f"--browser.serverAddress={SITE}"]
        server = subprocess.Popen(command, env=os.environ | named | at, stdout=log, stderr=log)
        proxy = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)], stdout=log, stderr=log)
    try:
        until_it_answers(f"http://127.0.0.1:{port}/sightglass/_stcore/health", server, proxy)
        yield f"http://{SITE}:{port}/sightglass"
    finally:
        for process in (server, proxy):
            process.terminate()
            process.wait(20)


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page that knows the site by its name; all that it asks for must be below the path, and be there."""
    rules = f"--host-resolver-rules=MAP {SITE} 127.0.0.1"
    started = browser.browser_type.launch(executable_path=provide.find(), args=[*FLAGS, rules])
    made = started.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True).new_page()
    made.set_default_timeout(LIMIT)
    wrong: list[Any] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("request", lambda request: wrong.append(request.url) if _elsewhere(request.url, site) else None)
    made.on("response", lambda answer: wrong.append((answer.status, answer.url)) if _failed(answer) else None)
    yield made
    started.close()
    assert wrong == []


def _elsewhere(url: str, site: str) -> bool:
    return urlsplit(url).scheme in ("http", "https", "ws") and not url.partition(":")[2].startswith(
        f"{site.partition(':')[2]}/"
    )


def _failed(answer: Response) -> bool:
    # Streamlit's page looks for its server below its own address first.
    return answer.status >= 400 and not re.search(r"/_stcore/(health|host-config)$", answer.url)


def test_pages_uploads_downloads_links_live_and_the_api_work_below_it(page: Page, site: str, bus: Path) -> None:
    page.goto(f"{site}/?token={TOKEN}")
    page.locator(CANVAS).first.wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload", exact=True).click()
    chooser.value.set_files(bus)
    expect(picture_name(page)).to_have_text("bus.jpg")
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Raw map, .npy").click()
    assert np.load(saved.value.path()).ndim == 2
    page.keyboard.press("Escape")

    assert "token" not in page.url

    # A link to a view opens it.
    page.goto(f"{site}/topk?model=demo-cls-s&alpha=0.4")
    expect(page.locator(".alpha").first).to_have_value("0.4")
    assert "demo-cls-s" in page.url

    page.goto(f"{site}/live")
    page.locator(".live[data-ready]").wait_for(state="attached")

    answer = page.request.get(f"{site.replace(SITE, '127.0.0.1')}/api/health/alive")
    assert answer.json() == {"status": "alive"}
    page.goto(f"{site}/api/docs")
    page.locator(".opblock").first.wait_for(timeout=1000 * patience(8))
