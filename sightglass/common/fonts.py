"""Choose fonts for the letters of a text; spell out what none has."""

import functools
import itertools
import re
from collections.abc import Collection
from pathlib import Path

from sightglass.common import packaged

OTHERS = re.compile(
    "NotoSans(Mono)?CJK|SourceHanSans|DroidSansFallback|wqy|PingFang|Hiragino|msyh|simhei|YuGoth|malgun|Arial ?Unicode",
    re.IGNORECASE,
)
"""Files of fonts with Chinese, Japanese or Korean letters, as systems come with them."""
ADVICE = "install a font with these letters, such as Noto Sans CJK"


@functools.cache
def find_other() -> Path | None:
    """Return a font of this machine for other letters, or None."""
    from matplotlib import font_manager

    return next(map(Path, sorted(filter(OTHERS.search, font_manager.findSystemFonts()))), None)


@functools.cache
def list_letters(font: Path) -> Collection[int]:
    """Return the letters that a font has."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    with TTFont(font, fontNumber=0, lazy=True) as opened:
        return frozenset(opened.getBestCmap())


def split_by_font(text: str) -> list[tuple[Path, str]]:
    """Return the parts of a text with a font that has their letters.

    A letter that none has is spelled out by its number, as `U+732B`.
    """
    own = packaged.font()
    if text.isascii():
        return [(own, text)]
    runs = itertools.groupby(text, _choose_font)
    parts = ((font, "".join(letters)) for font, letters in runs)
    return [(font or own, letters if font else _spell_out(letters)) for font, letters in parts]


def name_missing(text: str) -> str:
    """Return the letters of a text that no font here has, each once."""
    missing = dict.fromkeys(letter for letter in text if not letter.isascii() and _choose_font(letter) is None)
    return "".join(missing)


def spell_missing(text: str) -> str:
    """Return a text for a file that has no font but the packaged one."""
    own = packaged.font()
    runs = itertools.groupby(text, lambda letter: letter.isascii() or _has(own, letter))
    return "".join("".join(letters) if has else _spell_out("".join(letters)) for has, letters in runs)


def spell_unknown(text: str) -> str:
    """Return a text that is drawn with all fonts here."""
    return "".join(part for _, part in split_by_font(text))


@functools.lru_cache(8192)
def _choose_font(letter: str) -> Path | None:
    own = packaged.font()
    if _has(own, letter):
        return own
    other = find_other()
    return other if other is not None and _has(other, letter) else None


def _has(font: Path, letter: str) -> bool:
    # Line breaks and marks of direction are not drawn.
    return not letter.isprintable() or ord(letter) in list_letters(font)


def _spell_out(letters: str) -> str:
    return " ".join(f"U+{ord(letter):04X}" for letter in letters)
