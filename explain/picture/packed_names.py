"""Decode the names of files in a .zip that does not say in which encoding they are.

Tools without the flag of UTF-8 write names as their system has them: Windows in China in GBK, in Japan in Shift-JIS, in
the West in code page 437 or a relative of it, and Linux in UTF-8.
"""

import zipfile
from collections.abc import Callable, Sequence

_UTF8_FLAG = 0x800
UNSTATED = "cp437"
"""As which `zipfile` reads names without the flag."""
TITLES = {"utf-8": "", "gbk": "GBK", "cp932": "Shift-JIS", UNSTATED: "code page 437"}
"""What a sentence calls an encoding; nothing where it is as expected."""
LEAST_COMMON = 0.8
"""Share of common letters, among those that are not ASCII, from which on an encoding is taken."""


def decode(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Give the files of an archive their names in the likeliest encoding."""
    unstated = [*filter(_is_unstated, infos)]
    encoding = find_encoding([*map(_raw, unstated)])
    for info in unstated:
        # In Shift-JIS a letter may have the byte of a backslash.
        info.filename = _raw(info).decode(encoding).partition("\0")[0]


def describe(infos: Sequence[zipfile.ZipInfo]) -> str:
    """Return the encoding of names that state none; nothing where it is UTF-8."""
    names = [*map(_raw, filter(_is_unstated, infos))]
    return TITLES[find_encoding(names)] if names else ""


def _is_unstated(info: zipfile.ZipInfo) -> bool:
    return not info.flag_bits & _UTF8_FLAG and not info.orig_filename.isascii()


def _raw(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode(UNSTATED)


def find_encoding(names: Sequence[bytes]) -> str:
    """Return the encoding in which names have the most common letters, one for all."""
    if _read(names, "utf-8") is not None:
        return "utf-8"
    shares = {encoding: _share(_read(names, encoding), is_common) for encoding, is_common in _COMMON.items()}
    best = max(shares, key=lambda encoding: shares[encoding])
    return best if shares[best] >= LEAST_COMMON else UNSTATED


def _read(names: Sequence[bytes], encoding: str) -> str | None:
    """Return all names as one text; None where an encoding has no such name."""
    try:
        return "\n".join(name.decode(encoding) for name in names)
    except UnicodeDecodeError:
        return None


def _share(text: str | None, is_common: Callable[[str], bool]) -> float:
    letters = [letter for letter in text or "" if not letter.isascii()]
    return sum(map(is_common, letters)) / max(len(letters), 1)


def _is_common_chinese(letter: str) -> bool:
    """Return whether GB 2312 has it among its 3,755 common letters or its punctuation."""
    try:
        code = letter.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return 0xB0 <= code[0] <= 0xD7 or code[0] in (0xA1, 0xA3)


def _is_common_japanese(letter: str) -> bool:
    """Return whether it is a kana, or common (2,965 letters) in JIS X 0208."""
    if "\u3041" <= letter <= "\u30ff":
        return True
    try:
        code = letter.encode("cp932")
    except UnicodeEncodeError:
        return False
    return len(code) == 2 and 0x88 <= code[0] <= 0x98


_COMMON = {"gbk": _is_common_chinese, "cp932": _is_common_japanese}
