"""Write a deck of the history as a file for others: a page, PowerPoint or a PDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explain.deck.deck import Deck
    from explain.deck.decks import Decks

KINDS = (".html", ".pptx", ".pdf")


def made(decks: Decks, deck: Deck, kind: str) -> bytes:
    """Return the file; `kind` is one of KINDS. Raises Problem for a deck without slides, KeyError for another kind."""
    from explain.export import deck_html, deck_pdf, deck_pptx

    makers = {".html": deck_html.deck_html, ".pptx": deck_pptx.deck_pptx, ".pdf": deck_pdf.deck_pdf}
    return makers[kind]([decks.scene(slide) for slide in deck.slides], deck.title)
