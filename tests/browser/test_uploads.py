"""Whatever comes while a picture is at work, the page ends at what was given last, with that picture's own map."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import expect
from screen import CANVAS, at_rest, headline, picture_name, settled, takes_files, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def files(pictures: list[Path]) -> dict[str, bytes]:
    """Pictures of different things by their names, none of which is an example."""
    found = {}
    for path in pictures[:4]:
        small = ImageOps.contain(Image.open(path).convert("RGB"), (480, 480))
        for name, made in ((f"own-{path.stem}.jpg", small), (f"turned-{path.stem}.jpg", ImageOps.mirror(small))):
            data = io.BytesIO()
            made.save(data, "JPEG")
            found[name] = data.getvalue()
    return found


def drop(page: Page, *given: tuple[str, bytes]) -> None:
    """Drop pictures on the page, each by itself, without a pause."""
    page.evaluate(
        """given => {
            for (const [name, data] of given) {
                const carried = new DataTransfer();
                const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
                carried.items.add(new File([bytes], name, {type: "image/jpeg"}));
                const options = {dataTransfer: carried, bubbles: true, cancelable: true};
                document.querySelector('[data-testid="stMain"]').dispatchEvent(new DragEvent("drop", options));
            }
        }""",
        [[name, base64.b64encode(data).decode()] for name, data in given],
    )


def opened(page: Page) -> Page:
    page.locator(CANVAS).first.wait_for()
    settled(page)
    takes_files(page)
    return page


def ends_at(page: Page, name: str) -> None:
    """The page shows this picture and stays there, and its map is that of a page that was never asked for another."""
    expect(picture_name(page)).to_have_text(name)
    shown, said = at_rest(page), headline(page).inner_text()
    page.wait_for_timeout(2000)
    expect(picture_name(page)).to_have_text(name)
    np.testing.assert_array_equal(at_rest(page), shown)
    assert not page.get_by_test_id("stAlertContentError").count()
    page.reload()
    expect(picture_name(page)).to_have_text(name)
    until(page, lambda: headline(page).inner_text() == said, "another headline")
    until(page, lambda: np.array_equal(at_rest(page), shown), "another map")


def test_of_five_in_quick_succession_the_last_one_stays(visit: Callable[..., Page], files: dict[str, bytes]) -> None:
    page = opened(visit())
    given = [*files.items()][:5]
    drop(page, *given)
    ends_at(page, given[-1][0])
