"""Models: list, download, and add your own."""

from __future__ import annotations

import streamlit as st

from sightglass.components.choices import image_picker, model_picker
from sightglass.components.session import page
from sightglass.explain.phrases import plural
from sightglass.models import catalog
from sightglass.models.own import store
from sightglass.pages.models import add, shelf


@page.guard
def models() -> None:
    title, door, below = st.container(), st.container(), st.container()
    image = image_picker.choose()
    image_picker.bar(None)
    with door:
        if why := store.refusal():
            st.caption(f":material/visibility: {why}")
        else:
            add.draw()
            if (added := add.added()) is not None:
                add.draw_card(added, image)
    with below:
        shelf.draw()
    # Last: a model may have come or gone above.
    _, present = model_picker.menu()
    here = [spec for spec in catalog.catalog().values() if spec.id in present]
    extra = sum(spec in here for spec in store.list_own())
    title.markdown(f"## {plural(len(here), 'model')} here{f', {extra} of them added' if extra else ''}")


models()
