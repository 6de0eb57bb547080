"""What a test does with a page of the dashboard: open it, wait until it rests, look at it."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from PIL import Image

from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, BrowserContext, Locator, Page

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / ".test-artefacts"
LIMIT = 1000 * patience(120)
"""Milliseconds that anything may take on a slow machine."""
CANVAS = '[data-testid="stBidiComponentIsolated"] canvas'
EXCEPTION = '[data-testid="stException"]'
# When the page last asked the server for something, and when it last heard of it.
_SOCKET = """(() => {
    const times = window.socketTimes = {sent: 0, heard: 0};
    window.WebSocket = class extends WebSocket {
        constructor(...given) {
            super(...given);
            this.addEventListener("message", () => { times.heard = performance.now(); });
        }
        send(data) {
            // Frames of a camera go on for ever.
            if (!this.url.endsWith("/api/live")) times.sent = performance.now();
            super.send(data);
        }
    };
})()"""
# As on a later visit: the first one shows how a picture is covered.
SEEN = ";try { localStorage.setItem('sightglass.covered', '1') } catch {}"
# What was asked for was answered, no script runs, and it stays so for a moment: an act's request leaves a little later.
_SETTLED = """() => {
    const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
    const now = performance.now(), times = window.socketTimes;
    // In place of a kind of control whose script has not come yet.
    const loading = document.querySelector('[data-testid="stSkeleton"]');
    const busy = state !== "notRunning" || loading || (times && times.sent >= times.heard);
    if (busy || window.restsSince === undefined) window.restsSince = now;
    if (now - window.restsSince < (times ? 150 : 500)) return false;
    window.restsSince = undefined;
    return true;
}"""
# Four looks in a row find the same: a run may follow a run, and colours that fade in are not yet those that stay.
_STILL = """() => {
    const moving = document.getAnimations().some(({ playState }) => playState === "running");
    const script = document.querySelector('[data-testid="stApp"]').dataset.testScriptState;
    const now = [script, moving, document.querySelectorAll("*").length].join();
    window.looks = now === window.seen ? window.looks + 1 : 0;
    window.seen = now;
    return window.looks >= 4 && !moving && script !== "running";
}"""
# axe judges no colours of what is scrolled out of the window.
HEIGHT = 3000


SERVED: list[str] = []
"""Addresses of the servers of this process, past ones too."""
_OF_A_PAGE = {"viewport", "color_scheme", "reduced_motion"}
"""What a page can be told; for anything else it takes a context of its own."""
_SHARED: WeakKeyDictionary[Browser, tuple[BrowserContext, Page]] = WeakKeyDictionary()
"""The context of all tests, and an empty page that keeps its window open."""


def new_page(browser: Browser, **options: Any) -> Page:
    """A page of a browser that remembers nothing, 1440 by 900 unless `options`, a context's, say otherwise.

    The first one of a test is of the context that all tests share, and that is emptied before: it has read the many
    scripts of Streamlit already, which takes longer than anything else about a page. Any other has one of its own.
    """
    options = {"viewport": {"width": 1440, "height": 900}} | options
    if set(options) <= _OF_A_PAGE and not used(browser):
        page = emptied(browser).new_page()
        page.set_viewport_size(options.pop("viewport"))
        page.emulate_media(**options)
    else:
        context = browser.new_context(**options)
        context.add_init_script(_SOCKET + SEEN)
        page = context.new_page()
    page.set_default_timeout(LIMIT)
    return page


def used(browser: Browser) -> list[Page]:
    """The pages that are open in the context that all tests share."""
    if (found := _SHARED.get(browser)) is None:
        return []
    context, window = found
    return [page for page in context.pages if page is not window]


def emptied(browser: Browser) -> BrowserContext:
    """The context that all tests share; nothing is left in it but what the browser has read from the servers."""
    if browser not in _SHARED:
        context = browser.new_context()
        context.add_init_script(_SOCKET + SEEN)
        _SHARED[browser] = context, context.new_page()
    context, window = _SHARED[browser]
    context.clear_cookies()
    context.clear_permissions()
    session = context.new_cdp_session(window)
    for address in SERVED:
        session.send("Storage.clearDataForOrigin", {"origin": address, "storageTypes": "all"})
    session.detach()
    return context


def close(browser: Browser) -> None:
    """Close every page, and every context but the one that all tests share."""
    shared, _ = _SHARED.get(browser, (None, None))
    for page in used(browser):
        page.close()
    for context in browser.contexts:
        if context is not shared:
            context.close()


def leaves(url: str) -> bool:
    """Whether a request is to another machine."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws") and parts.hostname not in ("127.0.0.1", "localhost")


def settled(page: Page) -> None:
    """Wait until no script runs and what the page asked for was answered.

    For an act's own result wait besides: what asks for it may be delayed in the browser.
    """
    page.wait_for_function(_SETTLED, timeout=LIMIT)


def still(page: Page) -> None:
    """Wait until nothing runs, moves, comes or goes any more."""
    page.wait_for_function(_STILL, polling=150)


def until(page: Page, test: Callable[[], object], what: str, *, pause: float = 50) -> None:
    """Try again, every `pause` milliseconds, until it is so; `what` says what is wrong where it never is."""
    end = time.monotonic() + LIMIT / 1e3
    while not test():
        assert time.monotonic() < end, f"{what}; the page says: {page.locator('body').inner_text()}"
        page.wait_for_timeout(pause)


def takes_files(page: Page) -> None:
    """Wait until what is dropped on the page or pasted into it is heard: that comes a moment after the page itself."""
    page.wait_for_function(
        """() => {
            const carried = new DataTransfer();
            carried.items.add(new File(["."], "probe.jpg", {type: "image/jpeg"}));
            const given = {dataTransfer: carried, bubbles: true, cancelable: true};
            const heard = new DragEvent("dragover", given), main = document.querySelector('[data-testid="stMain"]');
            main.dispatchEvent(heard);
            main.dispatchEvent(new DragEvent("dragleave", given));
            return heard.defaultPrevented;
        }""",
        polling=200,
    )


def drop(page: Page, *files: tuple[str, bytes], event: str = "drop") -> None:
    """Drop pictures on the page, or paste them, each by itself, without a pause."""
    page.evaluate(
        """([event, files]) => {
            for (const [name, data] of files) {
                const carried = new DataTransfer(), bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
                carried.items.add(new File([bytes], name, {type: "image/jpeg"}));
                const made = event === "paste"
                    ? new ClipboardEvent("paste", {clipboardData: carried, bubbles: true})
                    : new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true});
                document.querySelector('[data-testid="stMain"]').dispatchEvent(made);
            }
        }""",
        [event, [[name, base64.b64encode(data).decode()] for name, data in files]],
    )


def choose_mode(page: Page, name: str) -> None:
    """Choose a display mode of the first viewer in its menu, which stays closed."""
    change = "(select, value) => { select.value = value; select.dispatchEvent(new Event('change')); }"
    page.locator(".mode").first.evaluate(change, name.lower())


def headline(page: Page) -> Locator:
    return page.locator("h2").first


def expect_picture(page: Page, name: str) -> None:
    """Wait until a picture of this name is the chosen one."""
    from playwright.sync_api import expect

    expect(page.locator(f'.st-key-picture-bar [aria-checked="true"] img[title^="{name} "]')).to_have_count(1)


def drawn(canvas: Locator) -> np.ndarray:
    """What is on a canvas, int (h, w, 4)."""
    data: str = canvas.evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGBA")).astype(int)


def coarse(picture: np.ndarray) -> np.ndarray:
    """A picture in 16 rows of 12, int: canvas and Pillow make pictures smaller in ways of their own."""
    small = Image.fromarray(picture[..., :3].astype(np.uint8)).resize((12, 16), Image.Resampling.BOX)
    return np.asarray(small).astype(int)


def pixels(page: Page) -> np.ndarray:
    """The canvas of the last panel as it is on the screen, int (h, w, 3); empty while it is being drawn."""
    data = page.evaluate(
        """() => {
            const roots = [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')];
            const within = node =>
                node.shadowRoot || [...node.querySelectorAll("*")].find(e => e.shadowRoot)?.shadowRoot;
            const found = roots.flatMap(node => [...(within(node)?.querySelectorAll("canvas.base") ?? [])]);
            const still = canvas => canvas.closest(".viewer")?.hasAttribute("data-still") ?? true;
            const seen = found.filter(canvas => canvas.offsetParent && canvas.width && still(canvas));
            return seen.length ? seen.at(-1).toDataURL() : "";
        }"""
    )
    if not data:
        return np.zeros((0, 0, 3), int)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGB")).astype(int)


def until_changed(page: Page, before: np.ndarray) -> None:
    def changed() -> bool:
        now = pixels(page)
        return bool(now.size) and (now.shape != before.shape or bool(np.abs(now - before).mean() > 0.5))

    until(page, changed, "the picture did not change")


def at_rest(page: Page) -> np.ndarray:
    """`pixels` once the script rests and they have been the same for a while."""
    settled(page)
    last, same = pixels(page), 0

    def unchanged() -> bool:
        nonlocal last, same
        now = pixels(page)
        same = same + 1 if now.size and np.array_equal(now, last) else 0
        last = now
        return same >= 3

    until(page, unchanged, "the picture does not come to rest")
    return last


def asked(page: Page, name: str, *values: str) -> None:
    """Wait until the address says so."""
    page.wait_for_url(lambda url: parse_qs(urlsplit(url).query).get(name, []) == list(values))


def fits(page: Page) -> None:
    """What is wider than its window for a moment, while it is laid out, may be; what stays so may not."""
    page.wait_for_function(
        """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
            .every(({scrollWidth}) => scrollWidth - innerWidth <= 1)"""
    )


# axe leaves these out unless it is asked for them.
_RULES_TOO = ("target-size", "label-content-name-mismatch")
_MODERATE = ("heading-order", "page-has-heading-one")


def serious(page: Page, *only: str) -> list[str]:
    """What axe finds, in the shadow roots of our components too, and calls serious or critical, and wrong headings.

    `only`: by these rules, not all.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    options |= {"runOnly": only} if only else {"rules": {rule: {"enabled": True} for rule in _RULES_TOO}}
    violations: list[dict[str, Any]] = axe.Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in violations
        if rule["impact"] in ("serious", "critical") or rule["id"] in _MODERATE
        for node in rule["nodes"]
    ]


def go_to(page: Page, name: str) -> None:
    """Choose a page in the bar."""
    page.get_by_test_id("stTopNavLink").filter(has=page.get_by_text(name, exact=True)).click()
