"""Compare names of classes, pictures and files: two are one where their keys are equal.

`spell`, `fold` and `class_key` are ever looser. Names that differ in marks (หมู, หมี) or signs (`C++`, `C`) do so in all.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from sightglass.common.legible import visible

Spelling = Callable[[str], str]
MAX_STEM = 80
"""Bytes of a part of a file's name: names have at most 255, and some are made of two stems."""
SHORTEST = 3
"""Letters of the longest word that is in no plural."""
_HYPHENS = re.compile("([-\u2010-\u2015]+)")
_DIGEST = re.compile("-[0-9a-f]{8}$")
_PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
_RESERVED = _PORTS | {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
"""Names that Windows keeps for devices, with any suffix."""


def compose(text: str) -> str:
    """Return a text in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", text)


def spell(name: str) -> str:
    """Return a name as one line of visible characters, composed."""
    if name.isascii() and name.isprintable():
        return name.strip()
    return compose(visible(name)).strip()


def fold(name: str) -> str:
    """Return a name without regard to case."""
    decomposed = unicodedata.normalize("NFD", spell(name))
    return spell(decomposed.casefold())


def split(name: str) -> list[str]:
    """Return the words of a name, with their signs and marks.

    Blanks, underscores and hyphens are between words. A hyphen that joins no two words is a sign.

    >>> split("rod-cross, -5_g")
    ['rod', 'cross,', '-5', 'g']
    """
    parts = name.replace("_", " ").split()
    # `rock - paper`
    inner = [part for part in parts[1:-1] if not _HYPHENS.fullmatch(part)]
    return [word for part in (*parts[:1], *inner, *parts[1:][-1:]) for word in _split_hyphens(part)]


def _split_hyphens(text: str) -> list[str]:
    first, *rest = _HYPHENS.split(text)
    words = [first]
    for hyphens, after in zip(rest[::2], rest[1::2], strict=True):
        if _is_letter(words[-1][-1:]) and _is_letter(after[:1]):
            words.append(after)
        else:
            words[-1] += hyphens + after
    return words


def _is_letter(character: str) -> bool:
    """Return whether it is a letter, a digit or a mark on one."""
    return character != "" and unicodedata.category(character)[0] in "LMN"


def class_key(name: str) -> str:
    """Return a name without case, plural, and what is between its words.

    >>> class_key("School_Buses"), class_key("C++")
    ('school bus', 'c++')
    """
    words = split(fold(name))
    return " ".join([*words[:-1], *map(_singular, words[-1:])])


def _singular(word: str) -> str:
    is_word = all(unicodedata.category(character)[0] in "LM" for character in word)
    if not is_word or len(word) <= SHORTEST or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes", "buses")) else word[:-1]


SPELLINGS: tuple[Spelling, ...] = (spell, fold, class_key)
"""From the strictest: names that are equal by one are equal by those after it."""


def by_key(names: Iterable[str], spelling: Spelling) -> Mapping[str, list[int]]:
    """Return the places of names by their keys."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(spelling(name), []).append(place)
    return places


def file_stem(text: str, *, separator: str = "-", max_bytes: int = MAX_STEM, otherwise: str = "picture") -> str:
    """Return a text as a part of a file's name: `Egyptian cat` is `Egyptian-cat`.

    A run of what is no letter, digit, mark, underscore, hyphen or dot becomes a separator, with none at the ends. A
    name that loses more than blanks gets a digest (`A+` is `A-aee8736c`), as do one that Windows keeps for a device and
    one that is cut to `max_bytes` of UTF-8. `otherwise` is for a text of which nothing remains.
    """
    stem = _make_safe(text, separator)
    is_kept = split(stem) == split(spell(text)) and not _DIGEST.search(stem)
    is_free = stem.partition(".")[0].casefold() not in _RESERVED
    if stem and is_kept and is_free and len(stem.encode()) <= max_bytes:
        return stem
    # Windows looks only at what is before the first dot.
    stem = stem if is_free else stem.replace(".", separator)
    return _with_digest(stem or otherwise, text, max_bytes)


def plain_stem(text: str, *, separator: str = "-", max_bytes: int = MAX_STEM, otherwise: str = "picture") -> str:
    """Return a stem without a digest, for callers that tell equal ones apart."""
    return _shorten(_make_safe(text, separator), max_bytes) or otherwise


def _make_safe(text: str, separator: str) -> str:
    kept = "".join(each if _is_letter(each) or each in "_-." else " " for each in spell(text))
    # A dot is part of a name only between two letters.
    stem = re.sub(r"(^|\s)\.+|\.+(?=\s|$)", " ", kept)
    return re.sub(r"\s+", separator, stem.strip()).strip(f"{separator}.")


def file_stems(names: Sequence[str], *, separator: str = "-", max_bytes: int = MAX_STEM) -> list[str]:
    """Return a stem of each name; two that are one on some disk have digests."""
    stems = [file_stem(name, separator=separator, max_bytes=max_bytes) for name in names]
    by_name = dict(zip(map(spell, names), stems, strict=True))
    counts = Counter(map(fold, by_name.values()))
    return [
        stem if counts[fold(stem)] == 1 else _with_digest(stem, name, max_bytes)
        for name, stem in zip(names, stems, strict=True)
    ]


def _with_digest(stem: str, text: str, max_bytes: int) -> str:
    digest = hashlib.sha256(spell(text).encode()).hexdigest()[:8]
    return f"{_shorten(stem, max_bytes - len(digest) - 1)}-{digest}"


def _shorten(stem: str, max_bytes: int) -> str:
    """Cut a stem to so many bytes of UTF-8, without a separator at its end."""
    data = stem.encode()
    return stem if len(data) <= max_bytes else data[:max_bytes].decode(errors="ignore").rstrip("-_.")
