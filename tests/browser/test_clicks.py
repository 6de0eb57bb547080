"""What is clicked answers: each control of each page is clicked, and what its row says comes of it."""

import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from conftest import serving
from playwright.sync_api import Browser, Locator, Page, expect
from screen import ROOT, at_rest, headline, new_page, pixels, serious, settled, still, until, until_changed

from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.history import History
from tests.waits import patience

pytestmark = pytest.mark.browser

ROLES = "button|radio|checkbox|switch|combobox|link|tab|menuitem"
LISTED = re.compile(rf'^ *- \'?({ROLES})(?= |:|\'|$)(?: "((?:[^"\\]|\\.)*)")?([^\n]*)', re.M)
"""A control in Playwright's snapshot of what a screen reader is told: its role, name and state."""
ARROW = re.compile(r'(- combobox[^\n]*\n(?: *- button "Clear (?:all|value)"\n)?) *- button "Open"')
"""The arrow of a menu, which opens what the menu opens."""
OVER = '[role="dialog"]:not([popover]), [data-testid="stPopoverBody"]'
SEE = """([what, over]) => {
    const within = root => [...root.querySelectorAll("*")].flatMap(node =>
        node.shadowRoot ? [node, ...within(node.shadowRoot)] : [node]);
    const shown = () => within(document.body).filter(node => node.checkVisibility() && !node.matches("style, script"));
    const count = selector => shown().filter(node => node.matches(selector)).length;
    const written = node => [...node.childNodes].filter(({nodeType}) => nodeType === 3).map(({data}) => data);
    const words = () => shown().flatMap(written).join(" ");
    return {
        "?": () => new URLSearchParams(location.search).getAll(what.slice(1)).join(),
        "/": () => Number(location.pathname === what),
        '"': () => words().split(what.slice(1)).length,
        query: () => location.search, full: () => Number(Boolean(document.fullscreenElement)),
        opens: () => count(over), tip: () => count("[role=tooltip], [data-testid=stTooltipContent]"),
        map: () => shown().filter(({localName}) => localName === "canvas").map(node => node.toDataURL()).join(),
        words, file: () => "", saves: () => "", gone: () => "",
    }[/^[?\\/"]/.test(what) ? what[0] : what]();
}"""
"""What a click changes: a text that is another one, or a number that grows."""
CHANGED = f"""([what, over, before]) => {{
    const now = ({SEE})([what, over]);
    return typeof now === "number" ? now > before : now !== before;
}}"""


# Of each page, and of blocks that several have: a pattern of controls of one kind, the first of which is clicked, and
# what comes of it: another value of a parameter of the address (?name), another page (/name), new words ("words),
# another `map`, a window that `opens`; `own`: the control is marked; `gone`: it leaves. < opens the page anew.
# +BLOCK has the rows of a block, =BLOCK those that are clicked on another page; what has - need not be there: it is
# Streamlit's own or stays for a while. Rows are clicked in their order; the first one of a pattern counts.
ROWS = r"""
PICTURE: button Upload | file;
    radio (Coffee|Cameraman|Bus|Zidane|China|Flower|Scene .|One thing|A rod|Stamped|Red star|Person) | ?example;
    button Draw | /
MODEL: button .*Options | opens; combobox Model | ?model <
SIZES: radio (s|m|l) | ?model
QUESTION: radio Why | ?layers; radio Where | ?layers
OPTIONS: combobox Method | ?method; button Help.* | tip; combobox What is explained | ?part;
    combobox Target layers | ?layers; button (Remove .*, .*|Clear all) | ?layers;
    combobox How the picture is fitted | ?fit
METHOD: radio Sharp | ?method; radio Tested | ?method; radio Quick.* | ?method
INSTRUMENTS: radio jet.* | map; radio (inferno|turbo|viridis|cividis|gray).* | map; button All colours | words <
COLORMAPS: radio (magma|plasma|autumn|bone|cool|deepgreen|hot|hsv|ocean|parula|pink) | -;
    radio (rainbow|spring|summer|twilight.*|winter) | -
INSET: button (Picture|Map) | -
VIEWER: button Side by side with the plain picture | map; button Full screen | full;
    button More | menu
MENU: combobox Show | map; checkbox Shared scale | map; checkbox True cells | map;
    button Measure an area | "Drag over; button Edit the picture | -
ACTS: button Save | opens; button Copy link | "Link copied; button Add to deck | opens
SAVE: button (PNG|JPG|SVG|PDF|HTML|.*, [.](json|csv|npz|zip)) | saves; button Keep it in Saved | "See it in Saved;
    link See it in Saved | /saved; combobox (Tags|Deck) | -; button Help.* | -; button Add the slide | "Slide;
    link Slide .* of .* | /saved; button Close | -
TABLE: button (Show/hide columns|Download as CSV|Search|Fullscreen.*|Clear selection) | -
/?SCENE: +MENU; +VIEWER; +METHOD; button (Why this map.|Stop) | -; +INSTRUMENTS; +COLORMAPS; +INSET;
    button .* \d+ % | ?class; checkbox Compare .* | own;
    combobox Another class | ?class;
    button All numbers | opens; button Close | gone; +ACTS; -SAVE; +TABLE; =MODEL; =SIZES; =QUESTION;
    button Upload | file; radio Bus | ?example; button Back to .* | words; radio (Whole picture|Cropped) | ?fit;
    radio (Coffee|Cameraman|Zidane|China|Flower|Scene .|One thing|A rod|Stamped|Red star|Person) | ?example;
    button Draw | map <; link See a cheat | /saved
/?SCENE&edit=1: =INSTRUMENTS; button (Eraser|Rectangle) | own; button Brush | own;
    combobox (Fill with|Brush size) | -; +ACTS;
    button (Undo|Show only what I kept|Clear|Hold for the original) | -; -SAVE; =VIEWER; =PICTURE;
    =MODEL; =SIZES; =QUESTION; button Back to the map | ?edit <
/topk?SCENE: switch . more below 1 % | -; button (moon-inside|gear|ball-dots|rod-cross|ball-stripes) | own;
    radio Top . | ?k; +ACTS; -SAVE; +TABLE;
    =INSTRUMENTS; =METHOD; +QUESTION; +OPTIONS; +SIZES; +MODEL; =PICTURE; =VIEWER
/compare?SCENE: combobox Map of | ?target; button 3 models | opens; combobox Models, two to four | ?models;
    button (Remove .*|Clear all) | ?models <; radio One picture | -; radio Large | ?arrangement;
    button Demo-cls-m .* | map; button Difference.* | map; button Demo-cls-. .* | -; radio Side by side | ?arrangement;
    button Measure again | words; switch Time and size as a chart | ?chart;
    button Help for Time and size as a chart | -; =INSTRUMENTS; =METHOD; button Make deck | /saved; +SAVE; +ACTS;
    =PICTURE; =MODEL; =QUESTION; =VIEWER; radio Two pictures | ?tab <; link Labelled pictures | /pictures
/compare?SCENE&tab=pictures: button scene . 0[.].. | map; button .* part.* | -; button Against . examples | opens;
    button Upload | file; button Full screen | full; button More | menu; radio Two pictures | -;
    link Labelled pictures | -; +ACTS; -SAVE; =PICTURE; =MODEL; =SIZES;
    radio One picture | ?tab <
/pictures?model=demo-cls-s: switch Charts | ?charts; radio (Confusion matrix|Reliability|Classes|Evidence) | ?chart;
    radio Scores | ?chart <; button Help.* | -; radio Wrong .* | ?view; radio By class | ?view; radio By model | ?view;
    (radio|button) (Only .*|Both wrong .*) | ?right; radio All .* | ?view; button Increment | ?tolerance;
    button Decrement | ?tolerance; combobox Maps of | ?of; combobox Sort | ?order;
    button Open plate.*webp | "Open in Explore; button close icon | gone; button (Page 2|Next page) | words;
    button (Page 1|Previous page) | words; button Export | opens; button Open moon.*webp | "Open in Explore;
    button Next.* | ?open; button Previous.* | ?open; button .*, [.]csv | saves; button Charts.*, [.]html | saves;
    button Make deck | /saved; button To run.* | opens; button (Demo|Efficient).* | own;
    button Your pictures | -; button Upload | file; combobox Model | query <; button Open .*webp | "Open in Explore;
    button Open in Explore | /; checkbox Unsure.* | words; combobox (Label|Answer) | words;
    button Clear value | -; combobox Instead of | -; button Run it here | ?run <; -SAVE; +TABLE; =MODEL; =SIZES;
    =QUESTION
/video?model=demo-cls-s: combobox Follow | own; combobox Look at | ?every;
    button 0:.* | ?moment; button Add to deck | opens; button Upload | file;
    radio Explore the frame | ?shown; checkbox Boxes | map; =INSTRUMENTS; =VIEWER; radio Clip | ?shown;
    radio Camera | ?source;
    button Start the camera | words; radio File | ?source; button Open the frame at .* on Explore | /; -SAVE; =MODEL;
    =SIZES; =QUESTION
/saved: checkbox Select: scene 3.* | "1 selected; button Export.*, [.]zip | saves;
    button Make deck | -; button Deselect | gone; checkbox Select: scene 1.* | "1 selected;
    button Delete | opens; button Delete for good | gone; combobox Any model | ?by-model; combobox Any date | ?saved;
    combobox Any class | ?said; combobox Any tag | -; button .* \d+ % | ?kept <; radio Runs | ?tab <;
    radio (Decks|Views) | -; -SAVE; +TABLE
/saved?kept={kept}: button moon-inside .* | -; button .* \d+ % | map; button Everything, [.]zip | saves;
    button Open in Explore | /; button Copy link | "Link copied;
    button Add to deck | opens; button All views | ?kept <; button Delete | opens;
    button Delete for good | ?kept <;
    radio (Runs|Decks|Views) | -; -SAVE; =VIEWER; =INSTRUMENTS
/saved?tab=decks: button (See a model cheat|What is .*|Small, .*) | ?deck <; button (My deck|.*scene.*) | -;
    button New deck | ?deck <; radio Views | ?tab <; radio (Decks|Runs) | -; button Help.* | -; +TABLE
/saved?deck=cheat: button Export | opens; button (.*, [.](html|pptx)|PDF) | saves; button Deck | opens;
    switch Light | own; button .+ · .* | words; button Later | words; button Earlier | words;
    button Delete | opens; button Delete the slide | gone; button (Title|Text) | words;
    button All decks | ?deck <; button Undo all changes | ?deck <; button Present | ?play; button Edit the slides | -;
    button Help.* | -; +TABLE
/models: button Help.* | -; button Upload | file; radio (s|m|l) | own;
    radio (Classify|Detect|Segment|Measure|Compare pictures|Describe) | ?task; radio All | ?task;
    switch Here only | own; +TABLE; button Open | /
"""


def tables() -> dict[str, dict[str, str]]:
    """The rows of each block and page, by their patterns."""
    read: dict[str, dict[str, str]] = {}
    for name, text in re.findall(r"^(\S+):\s(.*?)(?=^\S|\Z)", ROWS, re.M | re.S):
        rows = read[name.replace("SCENE", SCENE)] = {}
        for item in " ".join(text.split()).split("; "):
            block = read[item[1:]] if item[0] in "+=-" else dict([item.split(" | ")])
            for pattern, what in block.items():
                rows.setdefault(pattern, item[0] if item[0] in "=-" else what)
    return read


SCENE = "model=demo-cls-s&example=scene+3"
TABLES = tables()


def place_of(layer: Locator, row: str, listed: list[tuple[str, str]]) -> Locator:
    """The last control of a list, by its row: its name may change before the click, as a frame's time does."""
    role, name = listed[-1]
    pattern = row.removeprefix(f"{role} ") if row.startswith(f"{role} ") else re.escape(name)
    before = sum(of == role and bool(re.fullmatch(pattern, other)) for of, other in listed[:-1])
    return layer.get_by_role(role, name=re.compile(f"^(?:{pattern})$")).nth(before)


class Clicker:
    """Clicks each control of a page once."""

    def __init__(self, page: Page, rows: dict[str, str]) -> None:
        self.page, self.rows, self.start = page, rows, page.url
        self.done, self.unknown, self.last, self.left = set[str](), set[str](), "", False

    def next(self) -> tuple[Locator, str, str] | None:
        """The next control to click, its role and its row."""
        over, found, listed = self.page.locator(OVER), dict[str, Any](), list[tuple[str, str]]()
        covered = over.count()
        layer = over.last if covered else self.page.get_by_test_id("stMain")
        # A snapshot leaves these out.
        self.unknown.update(layer.locator("summary").all_inner_texts())
        for role, name, states in LISTED.findall(ARROW.sub(r"\1", layer.aria_snapshot())):
            name = name.replace('\\"', '"')
            listed.append((role, name))
            if "[disabled]" in states or name in ("Link to heading", "file upload"):
                continue
            key = f"{role} {name}".strip()
            row = next((row for row in self.rows if re.fullmatch(row, key)), None)
            if row is None:
                self.unknown.add(key)
            elif self.rows[row] in "=-":
                self.done.add(row)
            # What is chosen already is not clicked.
            elif not (role == "radio" if "[checked]" in states else "[pressed]" in states and self.rows[row][0] == "?"):
                found.setdefault(row, (place_of(layer, row, listed), role, row))
        for row, what in self.rows.items():
            # A menu whose item closed it is opened again.
            again = what == "menu" and row != self.last and not covered and TABLES["MENU"].keys() - self.done
            if row in found and (again or row not in self.done):
                return found[row]
        return None

    def click(self, target: Locator, role: str, row: str) -> None:
        """Click a control, and wait for what its row says."""
        self.last = row
        self.done.add(row)
        page, (what, anew, _) = self.page, self.rows[row].partition(" <")
        own = what in ("own", "menu")
        before = target.aria_snapshot() if own else page.evaluate(SEE, [what, OVER])

        def changed() -> bool:
            if own:
                return bool(target.count()) and target.aria_snapshot() != before
            if what == "gone":
                return not target.count()
            return what in ("file", "saves") or page.evaluate(CHANGED, [what, OVER, before])

        awaited = {"file": page.expect_file_chooser, "saves": page.expect_download}.get(what, nullcontext)
        with awaited():
            if what == "tip":
                target.hover()
            elif role in ("radio", "checkbox", "switch") and (label := target.locator("xpath=ancestor::label")).count():
                # A switch of Streamlit's lies below it.
                label.click()
            elif role != "combobox":
                target.click()
            elif target.evaluate("node => node.localName") == "select":
                target.select_option(index=1 - target.evaluate("node => Math.min(1, node.selectedIndex)"))
            else:
                target.click()
                page.get_by_role("listbox").last.get_by_role("option", selected=False).first.click()
        until(page, changed, f"{row}: no {what}")
        if what == "full":
            page.evaluate("document.exitFullscreen()")
        # Off the control, whose help would lie over others.
        page.mouse.move(0, 0)
        if what == "tip":
            until(page, lambda: not page.evaluate(SEE, [what, OVER]), "the help does not go")
        settled(page)
        if role == "combobox" and page.get_by_role("listbox").count():
            # Of several choices it stays.
            page.keyboard.press("Escape")
        if anew or what[0] == "/":
            self.left = not self.missing()
            if not self.left:
                page.goto(self.start)
                headline(page).wait_for()
                settled(page)

    def all(self) -> None:
        covered = self.page.locator(OVER)
        while not self.left:
            found = self.next()
            if found is None and not covered.count():
                # What a run brings late.
                still(self.page)
                found = self.next()
            if found is not None:
                self.click(*found)
            elif covered.count():
                self.page.keyboard.press("Escape")
                expect(covered).to_have_count(0)
                settled(self.page)
            else:
                break
        assert (sorted(self.unknown), self.missing()) == ([], [])

    def missing(self) -> list[str]:
        """The rows that are still to be clicked."""
        return sorted(row for row in self.rows.keys() - self.done if self.rows[row] != "-")


@pytest.fixture(scope="module")
def kept() -> str:
    """The id of a saved view of scene 3; one of scene 1 is there, too."""
    explainer = Explainer("demo-cls-s")
    return [History().keep(explainer(load_bundled(name))).id for name in ("scene 1", "scene 3")][1]


@pytest.mark.parametrize("address", [name for name in TABLES if name[0] == "/"])
def test_each_control_of_a_page_answers(visit, kept: str, address: str) -> None:
    page = visit(address.format(kept=kept))
    headline(page).wait_for()
    settled(page)
    Clicker(page, TABLES[address]).all()


OPEN = """async (button) => {
    button.click();
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    return document.querySelector('[data-testid="stPopoverBody"]')?.textContent ?? "";
}"""
"""Click, and read what has opened three frames later: before a run of the script could answer."""


def test_checks_play_and_open_at_once(browser: Browser) -> None:
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_CHECKS="1") as address:
        page = new_page(browser)
        page.goto(f"{address}/?{SCENE}")
        page.get_by_role("button", name="Save", exact=True).click()
        window = page.get_by_role("dialog")
        window.wait_for()
        # All three, and what is drawn after them, while a window is open.
        tiles = page.locator('[class*="st-key-tile-"] button')
        expect(page.locator(".st-key-checks")).not_to_contain_text("…", timeout=patience(60) * 1000)
        settled(page)
        expect(window).to_be_visible()
        page.keyboard.press("Escape")
        before, bars = at_rest(page), page.locator(".rows .text").first.text_content()
        for number in range(3):
            wide = tiles.nth(number).bounding_box()["width"]
            for share in (0.2, 0.8):
                # Once nothing is over it: the window that was closed may not be gone.
                tiles.nth(number).hover(position={"x": share * wide, "y": 20})
            until_changed(page, before)
            if number == 1:
                expect(page.locator(".rows .text").first).not_to_have_text(bars)
                expect(page.locator(".rows .text").nth(1)).to_have_text("–")  # not measured
                expect(page.locator(".title").last).to_contain_text(re.compile(r"Top \d+.% hidden"))
            page.mouse.move(700, 400)
            until(page, lambda: np.array_equal(pixels(page), before), "the stage is not as it was")
            expect(page.locator(".rows .text").first).to_have_text(bars)
        tiles.nth(2).focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".viewer .spoken")).to_contain_text("similarity")
        for number, name in enumerate(("Changes with the model", "Matters to the answer", "Stays when")):
            assert name in tiles.nth(number).evaluate(OPEN)
            page.keyboard.press("Escape")
        assert not serious(page)
        page.goto(f"{address}/topk?{SCENE}")
        chip = page.get_by_role("button", name=re.compile("^Checks: "))
        chip.wait_for()
        assert "Matters to the answer" in chip.evaluate(OPEN)
        page.get_by_role("button", name="Measure every share").click()
        page.get_by_role("button", name="Details").click(timeout=patience(120) * 1000)
        expect(page.get_by_role("dialog").last.locator("img")).to_be_visible()


def test_a_quick_second_click_counts(visit) -> None:
    page = visit(f"/?{SCENE}")
    still(page)
    for name in ("Why", "Where") * 3:
        page.get_by_role("radio", name=name, exact=True).click()
    settled(page)
    expect(page.get_by_role("radio", name="Where", exact=True)).to_be_checked()
    assert "part=" not in page.url


def test_a_tile_is_opened_by_a_click_on_its_picture(visit) -> None:
    page = visit("/pictures?model=demo-cls-s")
    tile = page.locator(".st-key-pictures-tile-1 img")
    tile.wait_for()
    still(page)
    box = tile.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_role("button", name="Open in Explore").wait_for()
    shown = page.locator(".st-key-pictures-panel img").first
    expect(shown).to_have_js_property("width", 560)
    before = shown.get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(shown).not_to_have_attribute("src", before)
    page.keyboard.press("ArrowLeft")
    expect(shown).to_have_attribute("src", before)


def test_a_cell_of_the_confusion_matrix_shows_its_pictures(visit) -> None:
    page = visit("/pictures?model=demo-cls-s&order=source")
    # A run of the page that follows the first one would close the list.
    page.get_by_role("combobox", name="Label").wait_for()
    still(page)
    page.get_by_role("combobox", name="Label").click()
    page.get_by_role("option", name="star", exact=True).click()
    page.get_by_text("Charts", exact=True).click()
    page.get_by_text("Confusion matrix", exact=True).click()
    figure = page.locator(".st-key-pictures-chart .js-plotly-plot")
    still(page)
    # Near its corner: all of the cell is one mark.
    marks = figure.evaluate("chart => chart.data[0].customdata")
    cell = figure.locator(".barlayer .point").nth(marks.index(["confusion", "plate-triangle", "plate-square"]))
    box = cell.bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    line = page.get_by_text("2 pictures: plate-triangle taken for plate-square")
    expect(line).to_be_visible()
    tiles = page.locator('[class*="st-key-pictures-tile-"]')
    expect(tiles).to_have_count(2)
    expect(tiles.filter(has_text="plate-square")).to_have_count(2)
    expect(tiles.filter(has_text="is: plate-triangle")).to_have_count(2)
    expect(tiles.first).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("radio", name="Chosen 2")).to_be_checked()
    page.reload()
    expect(line).to_be_visible()
    expect(tiles).to_have_count(2)
    page.get_by_role("button", name="Show all").click()
    expect(line).to_be_hidden()
    expect(tiles).to_have_count(24)
    expect(figure).to_be_visible()
