"""From the recipe of a file or a result back to the view it is of: model, method, layers, class or box, colours."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import ModelProblem
from components.session import page, url_state
from components.viewer import SETTINGS
from explain.methods import METHODS
from models import catalog

if TYPE_CHECKING:
    from explain import Explanation
    from explain.export.embedded_recipe import Contents, View
    from explain.picture.image import Image
    from explain.recipe import Recipe
    from models.adapter import ModelSpec

OTHER = "timm, by name"
"""The family of models that no list holds."""
LONGEST = 1000
"""Letters of a list of words that is taken over from a file."""


def view(found: Contents) -> None:
    """Set everything but the picture as the file has it; before the page is drawn, in a widget's callback.

    What an offered choice does not have is left out where the choice is drawn. Raises ModelProblem, one sentence, for a
    model that is not on this machine: a file must not start a download.
    """
    recipe, state = found.recipe, st.session_state
    spec = catalog.spec(recipe.model)
    if not catalog.available(spec):
        raise ModelProblem(
            f"{recipe.picture_name} was explained by {spec.id}, whose weights are not on this machine: choose it under "
            "Model, then give the file again."
        )
    _model(spec)
    if recipe.method in METHODS:
        # Whether it only answers is known when it is loaded; then one of the two is drawn.
        for kind in ("answers", spec.task) if METHODS[recipe.method].family == "mask" else (spec.task,):
            _put(f"method-{kind}", recipe.method)
    _put(f"layers-{spec.id}", [] if found.view.automatic else list(recipe.layers))
    _put(f"fit-{spec.task}", recipe.preprocessing)
    for key in ("part", "part-contrast"):
        _put(key, recipe.part, drawn_only=True)
    if len(words := ", ".join(recipe.vocabulary)) <= LONGEST:
        _put("words", words)
    if spec.task == "detect":
        _detector(spec, recipe)
        _box(spec, found)
    state["class"], state["class_of"] = found.view.label, recipe.picture_sha256
    # Lists and viewers keep what they show: others take their places.
    state["rows"] = state.get("rows", 0) + 1
    _look(found.view.settings)
    state["reopened"] = recipe
    if state.get("page") != found.view.screen:
        state["go"] = page.script(found.view.screen)


def result(image: Image, recipe: Recipe, how: View) -> None:
    """Set everything, the picture too, as a result of another screen has it; in a widget's callback, before `go`.

    Raises ModelProblem as `view` does.
    """
    # That one turns to files by this module.
    from components.choices import image_picker
    from explain.export.embedded_recipe import Contents

    view(Contents(recipe=recipe, view=how))
    image_picker.own(image)


def go(*keeping: str) -> None:
    """Turn to the screen that the view is of; `keeping`: what stays in the address, so that Back finds it there."""
    if (to := st.session_state.pop("go", None)) is not None:
        query = st.query_params
        st.switch_page(to, query_params={name: query[name] for name in keeping if name in query} or None)


def told(explanation: Explanation) -> None:
    """Whether a view that was opened again is what it was."""
    recipe: Recipe | None = st.session_state.get("reopened")
    if recipe is None or (recipe.picture_sha256, recipe.model) != (explanation.image.sha256, explanation.model.id):
        return
    if recipe.weights_sha256 != explanation.recipe.weights_sha256:
        words = f"The weights of {recipe.model} here are not those that the file was made with: its map was another."
        st.caption(f":material/warning: {words}")


def _model(spec: ModelSpec) -> None:
    if spec.id.startswith("timm/"):
        _put("family", OTHER)
        _put("timm", spec.id.removeprefix("timm/"))
    else:
        _put("family", spec.family)
        _put(f"size-{spec.family}", spec.id)


def _detector(spec: ModelSpec, recipe: Recipe) -> None:
    """Which boxes are shown, and what is made of them."""
    _put("confidence", min(95, max(1, round(100 * recipe.confidence))))
    _put("iou", 5 * round(20 * recipe.iou), drawn_only=True)
    for name in ("per", "within"):
        _put(name, getattr(recipe, name), drawn_only=True)
    _put("ratio", 100 * recipe.ratio, drawn_only=True)
    _put(f"only-{spec.id}", [name for name in recipe.classes if isinstance(name, str)], drawn_only=True)
    _put("lens", "one")


def _box(spec: ModelSpec, found: Contents) -> None:
    state, targets = st.session_state, found.recipe.targets
    target = targets[found.view.index] if found.view.index < len(targets) else None
    state["box"] = target if isinstance(target, tuple) else (-1, target) if target is not None else None
    state["box_of"] = (found.recipe.picture_sha256, spec.id)
    state["boxes-turn"] = state.get("boxes-turn", 0) + 1


def _look(settings: dict[str, bool | float | str]) -> None:
    """As a link does it: it wins over what this browser remembers, once for its id."""
    kept = {name: str(int(value) if isinstance(value, bool) else value) for name, value in settings.items()}
    kept = {name: value for name, value in kept.items() if name in SETTINGS}
    if kept:
        state = st.session_state
        state["initial_view"] = kept | {"id": secrets.token_hex(8)}
        state["viewer-turn"] = state.get("viewer-turn", 0) + 1


def _put(key: str, value: Any, *, drawn_only: bool = False) -> None:
    """Set a widget and what is remembered of it. `drawn_only`: what is set under the name of a widget that may not be
    there would come up again when it has gone."""
    if not drawn_only or key in st.session_state:
        st.session_state[key] = value
    url_state.keep(key, value)
