"""Format numbers and lists for sentences."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

from sightglass.models.spec import ModelSpec

NBSP = "\N{NO-BREAK SPACE}"
_NUMBER = re.compile(r",?\s(?:[<>]\s)?[\d.]+(?:\s%)?$")
"""A score at the end of a caption."""


def percent(share: float) -> str:
    """Format a share as a percentage of whole numbers.

    0.716 is `72 %`, 0.925 `93 %`, 0.004 `< 1 %` and 0.996 `> 99 %`, as `percent` in component.js has them.
    """
    if 0 < share < 0.01:
        return f"<{NBSP}1{NBSP}%"
    # What misses 1 by a rounding error is all of it.
    if 0.995 <= share < 1 - 1e-6:
        return f">{NBSP}99{NBSP}%"
    # A half is rounded up, as people and browsers do it.
    whole = math.floor(100 * share + 0.5) if math.isfinite(share) else share
    return f"{signed(whole, '.0f')}{NBSP}%"


def spell_value(value: object) -> str:
    """Return a wrong value for a sentence: a float in six digits at most, else as Python writes it."""
    return f"{value:g}" if isinstance(value, float) else repr(value)


def quantity(value: float, unit: str = "") -> str:
    """Format a measured number to three digits, with its unit: `−12.4°`, `31.2 years`, `1,204`, `–` of NaN."""
    if not math.isfinite(value):
        return "–"
    # From what is printed as 1000 on, three digits would be 1e+03.
    text = signed(value, ",.0f" if abs(value) >= 999.5 else ".3g")
    return f"{text}{NBSP if unit[:1].isalnum() else ''}{unit}"


def describe_range(model: ModelSpec, label: str) -> str:
    """Return the range of a number, `−60° to 60°`; empty if none is stated."""
    output = model.output_of(label)
    return "" if output.range is None else " to ".join(quantity(end, output.unit or "") for end in output.range)


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Round shares of a whole to percents with the right sum."""
    exact = [max(0.0, share) * 100 for share in shares]
    rounded = [int(value) for value in exact]
    for _ in range(round(sum(exact)) - sum(rounded)):
        next_up = max(range(len(exact)), key=lambda i: exact[i] - rounded[i])
        rounded[next_up] += 1
    return rounded


def fine_percent(share: float) -> str:
    """Format a share, beyond 1 and 99 % with a digit, at least 0.0001 %: 0.00123 is `0.1 %`."""
    if 0 < share < 1e-6:
        return f"<{NBSP}0.0001{NBSP}%"
    if 0.995 <= share < 1:
        return f"{math.floor(share * 1000) / 10}{NBSP}%"
    return f"{share * 100:.1g}{NBSP}%" if 0 < share < 0.01 else percent(share)


def milliseconds(value: float) -> str:
    """Format a duration: `9.5 ms`, `107 ms`, `12 s`."""
    if value >= 9999.5:
        return f"{value / 1000:.0f}{NBSP}s"
    return f"{value:.0f}{NBSP}ms" if value >= 9.95 else f"{value:.1f}{NBSP}ms"


def count(number: int) -> str:
    """Abbreviate a number: 4652008 is `4.7 M`, and 999960 `1.0 M`."""
    for unit, name in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        # A smaller unit would be printed as 1000.0.
        if round(1000 * number / unit, 1) >= 1000:
            return f"{number / unit:.1f}{NBSP}{name}"
    return str(number)


def megabytes(nbytes: int) -> str:
    """Format bytes in units of 1,000,000: `1,204 MB`."""
    return f"{nbytes / 1e6:,.0f}{NBSP}MB"


def download(megabytes: float | None) -> str:
    """Describe a download's size: `about 5.3 MB`; empty if unknown."""
    return "" if megabytes is None else f"about {megabytes:,.{0 if megabytes >= 9.95 else 1}f}{NBSP}MB"


def signed(value: float, form: str = ".2f") -> str:
    """Format a number with a true minus: `−0.46`; `form` as in an f-string."""
    text = f"{value:{form}}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text.replace(",", "")) else text.replace("-", "")


def pixels(width: int, height: int) -> str:
    """Format a size: `810 × 1080`."""
    return f"{width}{NBSP}×{NBSP}{height}"


def article(label: str) -> str:
    """Put an article before a label, unless it has one: `a minibus`."""
    has_one = label.lower().startswith(("a ", "an ", "the ", "something ", "someone "))
    return label if has_one else f"{'an' if label[:1].lower() in 'aeiou' else 'a'} {label}"


def listing(words: Sequence[str], most: int | None = None) -> str:
    """Join words: `a, b and c`; of more than `most`: `a, b and 3 more`; empty without any."""
    if most is not None and len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def kinds(counted: Iterable[tuple[str, int]], limit: int) -> str:
    """List kinds with counts: `1 bus and 4 people`; at most `limit` + 1."""
    groups = [plural(number, label) for label, number in counted]
    more = len(groups) - limit
    return listing(groups if more <= 1 else [*groups[:limit], f"{more} other kinds"])


def plural(number: int, noun: str) -> str:
    """Count a noun: `1 bus`, `4 people`, `5,000 pictures`."""
    return f"1 {noun}" if number == 1 else f"{number:,} {plural_noun(noun)}"


def plural_noun(noun: str) -> str:
    """Return the plural: `buses`, `people`, `scissors`, `shoes`, `berries`, `ball-dots`."""
    if re.search(r"[^aious]s$|\b(skis|sheep|people)$", noun):
        return noun
    noun = re.sub(r"\bknife$", "knive", re.sub(r"(?<=[^aeiou\W])y$", "ie", noun))
    if re.search(r"\bperson$", noun):
        return f"{noun.removesuffix('person')}people"
    # The ch of an epoch is spoken as a k.
    return f"{noun}{'es' if re.search(r'(s|x|sh|(?<!epo)ch)$', noun) else 's'}"


def plain_text(text: str) -> str:
    """Return a sentence without emphasis and non-breaking spaces."""
    return without_emphasis(text).replace(NBSP, " ")


def without_emphasis(text: str) -> str:
    """Return a sentence without Markdown's bold."""
    return text.replace("**", "").strip()


def shorten(text: str, limit: float, width: Callable[[str], float], *, middle: bool = False) -> str:
    """Shorten a text with an ellipsis to a `width` of at most `limit`.

    A number at its end, such as a score, stays whole: `Tomato___healthy 99 %` becomes `Tomat… 99 %`. `middle`: names of
    files often differ at their ends only, so the ellipsis is in the middle.
    """
    match = _NUMBER.search(text)
    name, number = (text, "") if match is None else (text[: match.start()], match[0])
    head, tail = (name[: (len(name) + 1) // 2], name[(len(name) + 1) // 2 :]) if middle else (name, "")
    while len(name) > 4 and width(name + number) > limit:
        head, tail = (head, tail[1:]) if middle and len(tail) >= len(head) else (head[:-1], tail)
        name = f"{head}…{tail}"
    return name + number


def capital(text: str) -> str:
    """Return a text with a capital first letter: `capitalize` would make names lower-case."""
    return text[:1].upper() + text[1:]


def printable(name: str) -> str:
    """Return a name that any file can hold: undecodable bytes and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
