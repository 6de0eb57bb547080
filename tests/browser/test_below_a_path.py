"""Below a path, everything works as at the root: through nginx as in docs/hosting.md, where that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import serving
from playwright.sync_api import expect
from screen import CANVAS, ROOT, new_page, picture_name

from benchmarks.processes import free_port
from tests.servers import until_it_answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Response

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TOKEN, BELOW = "a-token-of-thirty-two-characters", "/sightglass"
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
    """The address below which the dashboard is."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    settings = {"SIGHTGLASS_TOKEN": TOKEN, "STREAMLIT_SERVER_BASE_URL_PATH": BELOW.strip("/")}
    with serving(ROOT / "dashboard.py", ROOT, below=BELOW, **settings) as address:
        if NGINX is None:
            yield address + BELOW
            return
        (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/hosting.md").read_text("utf-8"), re.DOTALL)
        inside = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
        inside = inside.replace("127.0.0.1:8501", urlsplit(address).netloc)
        (folder / "nginx.conf").write_text(OUTSIDE.format(folder=folder, inside=inside))
        proxy = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
        try:
            until_it_answers(f"http://127.0.0.1:{port}{BELOW}/_stcore/health", proxy)
            yield f"http://127.0.0.1:{port}{BELOW}"
        finally:
            proxy.terminate()
            proxy.wait(20)


def test_pages_uploads_downloads_links_live_and_the_api_work_below_it(browser: Browser, site: str, bus: Path) -> None:
    wrong: list[Any] = []

    def judge(answer: Response) -> None:
        """All that is asked for is below the path, and there; but Streamlit looks for its server below a page first."""
        lost = answer.status >= 400 and not re.search(r"/_stcore/(health|host-config)$", answer.url)
        if lost or not answer.url.startswith((f"{site}/", "data:", "blob:")):
            wrong.append((answer.status, answer.url))

    page = new_page(browser, accept_downloads=True)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", judge)
    page.goto(f"{site}/?token={TOKEN}")
    page.locator(CANVAS).first.wait_for()
    assert "token" not in page.url
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload", exact=True).click()
    chooser.value.set_files(bus)
    expect(picture_name(page)).to_have_text("bus.jpg")
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Raw map, .npy").click()
    assert np.load(saved.value.path()).ndim == 2
    page.keyboard.press("Escape")
    # A link to a view opens it.
    page.goto(f"{site}/topk?model=demo-cls-s&alpha=0.4")
    expect(page.locator(".alpha").first).to_have_value("0.4")
    assert "demo-cls-s" in page.url
    page.goto(f"{site}/live")
    page.locator(".live[data-ready]").wait_for(state="attached")
    assert page.request.get(f"{site}/api/models").ok
    page.goto(f"{site}/api/docs")
    page.locator(".opblock").first.wait_for()
    assert wrong == []
