"""What a browser must not forget: uploads, ticks and choices after a reload; and what a link gives to others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from screen import asked, expect_picture, go_to, headline, new_page, settled

from sightglass.explain.picture.image import to_png
from sightglass.models.demo import pictures

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.browser
MODEL = "model=efficientnet-lite1"
"""A small one: what it says does not matter here."""


def upload(page: Page, *names: str, place: str = ".st-key-picture-bar") -> None:
    """Give pictures, each of its name alone."""
    for name in names:
        pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, (90, 100, 3), np.uint8)
        file: Any = {"name": name, "mimeType": "image/png", "buffer": to_png(pixels)}
        page.locator(f"{place} input[type=file]").set_input_files(file)
        expect_picture(page, name)
        settled(page)


def expect_own(page: Page, *names: str) -> None:
    """Wait until these are the own pictures, the newest first, before the first example."""
    words = " ".join(f"{re.escape(name)} \\S+" for name in (*names, "coffee.jpg"))
    titles = "imgs => imgs.map(({title}) => title.replaceAll('\u00a0', '')).join(' ')"
    thumbnails = page.locator(".st-key-picture-bar [role=radio] img")
    thumbnails.first.wait_for()
    page.wait_for_function(
        f"pattern => new RegExp(pattern).test(({titles})"
        "([...document.querySelectorAll('.st-key-picture-bar [role=radio] img')]))",
        arg=f"^{words}",
    )


def copy_link(page: Page, words: str) -> str:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.bring_to_front()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator(".viewer .line")).to_contain_text(words)
    settled(page)
    link: str = page.evaluate("navigator.clipboard.readText()")
    return link


def test_reload_and_second_tab_keep_uploads_ticks_and_choices(visit: Callable[..., Page]) -> None:
    page = visit(f"/?{MODEL}")
    upload(page, "a.png", "b.png")
    ticks = page.get_by_role("checkbox", name="Compare")
    for place in (0, 2):
        ticks.nth(place).click()
    expect(headline(page)).to_have_text(re.compile("What speaks for"))
    compared = headline(page).inner_text()
    page.reload()
    expect_own(page, "b.png", "a.png")
    expect_picture(page, "b.png")
    expect(headline(page)).to_have_text(compared)
    expect(ticks.nth(2)).to_be_checked()

    # A new tab has the pictures of the browser, and choices of its own.
    other = page.context.new_page()
    other.goto(page.url.partition("?")[0])
    expect_own(other, "b.png", "a.png")
    expect_picture(other, "coffee.jpg")
    other.get_by_role("radio", name="b.png").click()
    other.get_by_role("button", name="Delete").click()
    expect_own(other, "a.png")
    other.get_by_role("button", name="Undo").click()
    expect_own(other, "b.png", "a.png")
    expect_picture(other, "b.png")
    other.close()

    # What was chosen on a page that is left is kept by a reload of another one.
    go_to(page, "Video")
    clip: Any = {"name": "walk.mp4", "mimeType": "video/mp4", "buffer": pictures.CLIP.read_bytes()}
    page.locator('[class*="st-key-video-file"] input[type=file]').set_input_files(clip)
    expect(headline(page)).to_have_text("walk.mp4: press Explain")
    settled(page)
    go_to(page, "Top-k")
    page.get_by_role("radio", name="Top 2").click()
    asked(page, "k", "2")
    settled(page)
    page.reload()
    expect(page.get_by_role("radio", name="Top 2")).to_be_checked()
    settled(page)
    go_to(page, "Video")
    expect(headline(page)).to_have_text("walk.mp4: press Explain")
    go_to(page, "Explore")
    expect_picture(page, "b.png")
    # A link that is opened in the tab says what is shown.
    settled(page)
    page.goto(f"{page.url.partition('?')[0]}?{MODEL}&example=bus")
    expect_picture(page, "bus.jpg")
    expect_own(page, "b.png", "a.png")


def test_link_has_an_own_picture_which_nobody_else_deletes(visit: Callable[..., Page], browser: Browser) -> None:
    page = visit(f"/?{MODEL}")
    upload(page, "c.png", "d.png")
    page.get_by_role("radio", name=re.compile("^jet")).click()
    link = copy_link(page, "d.png opens with it until ")
    assert page.url == link
    friend = new_page(browser)
    friend.goto(link)
    expect_own(friend, "d.png")
    # Opened, it is the same address in every state: after a run, another choice, a reload.
    expect(friend).to_have_url(link)
    friend.get_by_role("radio", name="l", exact=True).click()
    expect(friend).to_have_url(re.compile("model=efficientnet-lite2"))
    assert {"named=d.png", "colormap=jet"} <= set(friend.url.partition("?")[2].split("&"))
    friend.reload()
    expect(friend.get_by_role("radio", name=re.compile("^jet"))).to_be_checked()
    assert copy_link(friend, "d.png opens with it") == friend.url
    # The same file, given by both; and what came by the link.
    upload(friend, "c.png")
    for label, left in (("Delete", ["d.png"]), ("Remove", [])):
        friend.get_by_role("button", name=label, exact=True).click()
        expect_own(friend, *left)
    page.reload()
    expect_own(page, "d.png", "c.png")
    expect_picture(page, "d.png")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect_own(page, "c.png")
    settled(page)

    friend.goto(link)
    expect(headline(friend)).to_have_text("This link is about d.png.")
    expect(friend.get_by_test_id("stAlert")).to_have_count(0)
    assert friend.get_by_test_id("stFileUploaderDropzone").last.bounding_box()["height"] > 300
    upload(friend, "d.png", place=".st-key-missing-picture")
    asked(friend, "model", "efficientnet-lite1")


def test_link_of_a_view_in_saved_is_that_of_saved(visit: Callable[..., Page]) -> None:
    page = visit(f"/?{MODEL}")
    upload(page, "e.png")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Keep it in Saved").click()
    page.get_by_role("link", name="See it in Saved").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    settled(page)
    link = copy_link(page, "keep in Saved")
    assert re.search(r"/saved\?kept=[0-9a-f]{16}$", link)
    page.goto(link)
    expect(page.get_by_role("button", name="Open in Explore")).to_be_visible()
