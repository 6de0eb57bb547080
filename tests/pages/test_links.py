"""What of a link cannot be used is said, once, in a line that can be dismissed."""

from __future__ import annotations

import pytest

from sightglass.common import locations
from sightglass.components import streamlit_internals
from sightglass.components.session import links
from tests.pages.conftest import texts


@pytest.mark.parametrize(
    ("name", "value"), [("model", "resnet5000"), ("method", "gradcamm"), ("class", "minibuss"), ("layers", "blocks.99")]
)
def test_a_value_that_is_not_known_is_named_once(page, name: str, value: str) -> None:
    app = page(**{name: value})
    assert not app.exception
    assert [one.value for one in app.toast] == [f"The link's {name} “{value}” is not offered here: it was left out."]
    assert "says" in texts(app)
    assert not app.run().toast


def test_what_is_known_is_used_without_a_word(page) -> None:
    app = page(model="efficientnet-lite0", method="layercam", **{"class": "minibus"})
    assert not app.exception and not app.toast


def test_an_address_without_a_page_says_so_in_our_words(page, monkeypatch: pytest.MonkeyPatch) -> None:
    # prepare_server sets more than this.
    monkeypatch.setattr(streamlit_internals._navigation, "send_page_not_found", lambda _: links.miss_page())
    said = links.Unused()
    monkeypatch.setattr(links.state, "of", lambda _: said)
    streamlit_internals._navigation.send_page_not_found(None)
    assert said.waiting == ["There is no page at this address: this is Explore."]


def test_the_documentation_is_a_link_where_its_site_was_built(page, tmp_path, monkeypatch) -> None:
    def sites(app) -> list[str]:
        return [one.proto.url for one in app.get("link_button") if one.proto.label == "Documentation"]

    monkeypatch.setattr(locations, "SITE", tmp_path)
    assert sites(page()) == []
    (tmp_path / "index.html").touch()
    assert sites(page()) == ["docs/"]
