"""Verbs for what is kept: history, decks."""
