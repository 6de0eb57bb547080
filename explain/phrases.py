"""Numbers and findings as sentences. Everything named here comes from a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NBSP = "\N{NO-BREAK SPACE}"


def percent(share: float) -> str:
    """0.716 -> `72 %`, with a space that does not break; `< 1 %` where something is left but rounds to nothing."""
    if 0 < share < 0.01:
        return f"<{NBSP}1{NBSP}%"
    return f"{share * 100:.0f}{NBSP}%"


def finely(share: float) -> str:
    """0.00123 -> `0.1 %`, where `percent` says `< 1 %`."""
    return f"{share * 100:.1g}{NBSP}%" if 0 < share < 0.01 else percent(share)


def milliseconds(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.0f}{NBSP}s"
    return f"{value:.0f}{NBSP}ms" if value >= 10 else f"{value:.1f}{NBSP}ms"


def count(number: int) -> str:
    """4652008 -> `4.7 M`."""
    for unit, name in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        if number >= unit:
            return f"{number / unit:.1f}{NBSP}{name}"
    return str(number)


def megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.0f}{NBSP}MB"


def pixels(width: int, height: int) -> str:
    return f"{width}{NBSP}×{NBSP}{height}"


def article(label: str) -> str:
    """`a minibus`, `an acoustic guitar`; a prompt that has its own keeps it."""
    if label.lower().startswith(("a ", "an ", "the ", "something ", "someone ")):
        return label
    return f"{'an' if label[:1].lower() in 'aeiou' else 'a'} {label}"


def listing(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def kinds(counted: Iterable[tuple[str, int]], most: int) -> str:
    """`1 bus and 4 persons`; of more than one kind over `most` only so many: `2 cats, 1 dog and 3 other kinds`."""
    groups = [plural(number, label) for label, number in counted]
    more = len(groups) - most
    return listing(groups if more <= 1 else [*groups[:most], f"{more} other kinds"])


def plural(number: int, noun: str) -> str:
    """`1 bus`, `4 persons`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
