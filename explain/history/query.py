"""What a person looks for, as SQL: words from their beginnings, choices, an order. Nothing typed gets into the text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, get_args

from common.errors import Problem
from explain.history.records import Choices, Order

if TYPE_CHECKING:
    import sqlite3

ORDERS: dict[str, str] = {
    "newest": "created DESC, n DESC",
    "oldest": "created, n",
    "surest": "score DESC, n DESC",
    "least sure": "score IS NULL, score, n DESC",
    "largest": "bytes DESC, n DESC",
}
assert tuple(ORDERS) == get_args(Order)
WORDS = 12
"""Words of a search that count."""
PAGE = 1000
"""Records on a page, at most."""


def where(
    *,
    text: str,
    model: str | None,
    method: str | None,
    label: str | None,
    tag: str | None,
    indexed: bool,
) -> tuple[str, list[str]]:
    """The condition and its values. `indexed`: words are found through the index, else wherever they stand."""
    parts: list[str] = []
    values: list[str] = []
    for name, value in (("model", model), ("method", method)):
        if value is not None:
            parts.append(f"{name} = ?")
            values.append(storable(value))
    for kind, value in (("label", label), ("tag", tag)):
        if value is not None:
            parts.append(f"n IN (SELECT record FROM words WHERE kind = '{kind}' AND word = ?)")
            values.append(storable(value))
    begun = []
    for word in folded(text).split()[:WORDS]:
        if indexed and _from_its_beginning(word):
            begun.append('"{}"*'.format(word.replace('"', '""')))
        else:
            parts.append("text LIKE ? ESCAPE '\\'")
            values.append(f"%{_literal(word)}%")
    if begun:
        parts.append("n IN (SELECT rowid FROM found WHERE found MATCH ?)")
        values.append(" ".join(begun))
    return " AND ".join(parts) or "1", values


def order_of(name: str) -> str:
    if name not in ORDERS:
        raise Problem(f"There is no order called {name}: use {', '.join(ORDERS)}.")
    return ORDERS[name]


def page(limit: int, offset: int) -> tuple[int, int]:
    if not 1 <= limit <= PAGE or not 0 <= offset < 2**31:
        raise Problem(f"A page has 1 to {PAGE} records and starts at 0 or later, not {limit} from {offset}.")
    return limit, offset


def choices(database: sqlite3.Connection) -> Choices:
    """Every word that occurs, with the number of its records."""

    def counted(sql: str) -> dict[str, int]:
        return dict(database.execute(f"{sql} ORDER BY 2 DESC, 1").fetchall())

    return Choices(
        models=counted("SELECT model, count(*) FROM records GROUP BY model"),
        methods=counted("SELECT method, count(*) FROM records GROUP BY method"),
        labels=counted("SELECT word, count(*) FROM words WHERE kind = 'label' GROUP BY word"),
        tags=counted("SELECT word, count(*) FROM words WHERE kind = 'tag' GROUP BY word"),
    )


def storable(text: str) -> str:
    """Text that a database takes: of a name that is no Unicode, a question mark for each part that is none."""
    return text.encode("utf-8", "replace").decode()


def folded(text: str) -> str:
    """Text as it is searched: without case, and without accents."""
    parts = unicodedata.normalize("NFKD", text).casefold().replace("\0", " ")
    return "".join(
        letter for letter in parts if not unicodedata.combining(letter) and not "\ud800" <= letter <= "\udfff"
    )


def _from_its_beginning(word: str) -> bool:
    """Whether the index has it: what is written without spaces, or no letter at all, it does not."""
    return all(ord(letter) < 0x0530 for letter in word) and any(letter.isalnum() for letter in word)


def _literal(word: str) -> str:
    for special in ("\\", "%", "_"):
        word = word.replace(special, f"\\{special}")
    return word
