"""Text can be read in both themes: contrast of the theme's tokens, and of what components mix of them (WCAG 2, AA).

axe judges what is drawn, in the light theme (`tests/browser/test_accessibility.py`); the dark one differs in tokens.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache

import pytest

from tests.rooms import ROOT

Colour = tuple[float, float, float]
THEMES = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
TEXT, GRAPHICS = 4.5, 3.0
NAMES = {
    "--st-text-color": "textColor",
    "--st-primary-color": "primaryColor",
    "--st-background-color": "backgroundColor",
    "--st-secondary-background-color": "secondaryBackgroundColor",
    "--st-border-color": "borderColor",
    "--st-link-color": "linkColor",
}
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_MIX = re.compile(r"color-mix\(in srgb, (?P<one>[^,]+?) (?P<share>\d+)%, (?P<other>[^,]+)\)")


def colour(text: str) -> Colour:
    digits = text.strip().removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return red, green, blue


def light(one: Colour) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in one)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def resolved(text: str, tokens: dict[str, str], variables: dict[str, str]) -> Colour | None:
    """Return a colour of CSS in a theme; None for one that is not of the theme's tokens."""
    text = text.strip()
    if found := re.fullmatch(r"var\((--[\w-]+)(?:, .*)?\)", text):
        name = found[1]
        if name in NAMES:
            return colour(tokens[NAMES[name]])
        return resolved(variables[name], tokens, variables) if name in variables else None
    if found := _MIX.fullmatch(text):
        one, other = (resolved(found[name], tokens, variables) for name in ("one", "other"))
        if one is None or other is None:
            return None
        share = int(found["share"]) / 100
        red, green, blue = (share * a + (1 - share) * b for a, b in zip(one, other, strict=True))
        return red, green, blue
    return None


@cache
def styles() -> tuple[tuple[str, str, str], ...]:
    """The components' rules: file, selector and declarations."""
    folders = (ROOT / "sightglass/ui", ROOT / "sightglass/browser", ROOT / "pages")
    rules = []
    for path in sorted(path for folder in folders for path in folder.rglob("*.css")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
        rules += [(path.name, " ".join(selector.split()), body) for selector, body in _RULE.findall(text)]
    return tuple(rules)


@cache
def variables(file: str) -> dict[str, str]:
    """The variables that a file sees: its own, and those that all share."""
    return {
        name: value
        for source in ("shared.css", file)
        for other, _, body in styles()
        if other == source
        for name, value in re.findall(r"(--[\w-]+):\s*([^;]+);", body)
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tokens_of_a_theme_can_be_read_on_its_grounds(theme: str) -> None:
    tokens = THEMES[theme]
    page, sidebar = colour(tokens["backgroundColor"]), colour(tokens["sidebar"]["backgroundColor"])
    second = colour(tokens["secondaryBackgroundColor"])
    for name, grounds, least in (
        ("textColor", (page, second, sidebar), TEXT),
        ("linkColor", (page, second, sidebar), TEXT),
        ("grayColor", (page,), TEXT),
        ("primaryColor", (page, second, sidebar), GRAPHICS),
    ):
        for ground in grounds:
            assert contrast(colour(tokens[name]), ground) >= least, name
    assert contrast(colour(tokens["chartCategoricalColors"][0]), page) >= GRAPHICS


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_components_write_can_be_read_on_the_page(theme: str) -> None:
    tokens, judged = THEMES[theme], 0
    for file, selector, body in styles():
        for text in re.findall(r"(?<![-\w])color:\s*([^;]+);", body):
            ink = resolved(text, tokens, variables(file))
            if ink is None or ink == colour(tokens["backgroundColor"]) or "disabled" in selector:
                continue
            judged += 1
            assert contrast(ink, colour(tokens["backgroundColor"])) >= TEXT, f"{file}: {selector} {{ color: {text} }}"
    assert judged >= 7
