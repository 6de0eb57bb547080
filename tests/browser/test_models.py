"""One's own model by the browser: a file is dropped, and a map comes without another step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from playwright.sync_api import expect
from screen import CANVAS, settled
from torchvision.models import mobilenet_v3_small

from sightglass.models.own import store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_dropped_file_is_a_map(visit: Callable[..., Page], tmp_path: Path) -> None:
    torch.save(mobilenet_v3_small(num_classes=5).state_dict(), tmp_path / "leaf.pth")
    (tmp_path / "names.txt").write_text("late blight\nhealthy\nrust\nmosaic\nspot")
    page = visit("/models?example=flower")
    page.locator(".models .row").first.wait_for()
    settled(page)
    takes = page.locator('[data-testid="stFileUploader"] input[type="file"]').last
    takes.set_input_files([tmp_path / "leaf.pth", tmp_path / "names.txt"])
    page.locator(CANVAS).first.wait_for()
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0
    page.get_by_role("button", name="Open in Explore").click()
    page.wait_for_url("**/?*model=leaf*")
    page.locator(CANVAS).first.wait_for()
    # Dropped elsewhere, it is told where it belongs.
    settled(page)
    noise = {"name": "other.pth", "mimeType": "application/octet-stream", "buffer": b"noise"}
    page.locator('[data-testid="stFileUploader"] input[type="file"]').last.set_input_files(noise)
    expect(page.get_by_text("other.pth is a model: drop it on the page Models.").first).to_be_visible()
    store.remove("leaf")
