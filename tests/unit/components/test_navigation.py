"""The bar says in words which page is shown."""

from __future__ import annotations

from sightglass.components.session import page

TITLES = {"explore": "Explore", "topk": "Top-k"}


def test_the_menu_of_the_page_shown_names_it():
    assert page.menu_name("Look", TITLES, "topk") == "**Look · Top-k**"
    assert page.menu_name("Look", TITLES, "history") == "Look"


def test_a_page_called_like_its_menu_is_named_once():
    assert page.menu_name("History", {"history": "History"}, "history") == "**History**"
