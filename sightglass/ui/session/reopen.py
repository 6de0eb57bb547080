"""Open a view from a recipe."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS
from sightglass.explain.options import RECIPE_OPTIONS
from sightglass.explain.phrases import listing
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.ui.painter import Painting
from sightglass.ui.session import control_table, page, state, url_state
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import SETTINGS

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.recipe import Recipe
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.models.spec import ModelSpec
    from sightglass.report.embedded_recipe import ViewState

OTHER = "timm, by name"
"""The family of models that are in no catalogue."""
MAX_VOCABULARY = 1000
"""Characters of a vocabulary that is taken over from a file."""


def open_result(image: Image, recipe: Recipe, view: ViewState) -> None:
    """Apply a result's or a file's view and picture, in a callback before `go`.

    A control drops a value that is not offered here. Raises ModelProblem for a model whose weights are not on this
    machine, as a file must not start a download, and for a target that is a function.
    """
    recipe.check_repeatable()
    spec = _local(recipe.model, recipe.picture_name)
    choose_model(spec)
    control_table.set_options(_options_of(recipe, view, spec))
    _choose_answer(recipe, view, spec)
    _start_viewer(recipe, view)
    reopened = state.of(state.Reopened)
    reopened.recipe, reopened.compared = recipe, False
    state.of(state.Controls).last = None
    open_explore()
    if recipe.per == "class" and task_of(spec).explains("detection"):
        # Explore has one map for each box.
        state.of(state.Navigation).go_to = page.script("topk")
    choose_picture(image)


def _options_of(recipe: Recipe, view: ViewState, spec: ModelSpec) -> dict[str, Any]:
    """Return the values of the controls, by option."""
    detects = task_of(spec).explains("detection")
    controls = [control.option for control in control_table.CONTROLS if detects or not control.boxes]
    options: dict[str, Any] = {name: getattr(recipe, name) for name in controls}
    if task_of(spec).explains("pixel"):
        # Of a place, which is no control.
        del options["against"]
    if view.automatic:
        options["layers"] = ()
    if len(", ".join(recipe.vocabulary)) > MAX_VOCABULARY:
        del options["vocabulary"]
    if recipe.method in METHODS and METHODS[recipe.method].family == "mask":
        from sightglass.explain.methods.rise import budget  # imports torch

        # A recipe has the number that was used; the usual one is no choice.
        options["masks"] = None if recipe.masks == budget(spec.task, recipe.method) else recipe.masks
    return options


def _choose_answer(recipe: Recipe, view: ViewState, spec: ModelSpec) -> None:
    """Choose the answer of the view's map, and the place that it is of."""
    target = recipe.targets[view.index] if view.index < len(recipe.targets) else None
    chosen = state.of(state.ChosenAnswer)
    chosen.pair = target if isinstance(target, tuple) else (-1, target) if target is not None else None
    # Lists and viewers on the page keep what they show: new ones take their places.
    chosen.label, chosen.generation = view.label, chosen.generation + 1
    chosen.picture, chosen.model = recipe.picture_sha256, spec.id
    area = state.of(state.ChosenArea)
    area.picture, area.model, area.at, area.class_index = recipe.picture_sha256, spec.id, recipe.at, None
    area.against = None if recipe.against is None else str(recipe.against)
    places = recipe.targets[view.index :] if recipe.per in ("region", "pixel") else ()
    area.pixel = next((target for target in places if isinstance(target, tuple)), None)


def _start_viewer(recipe: Recipe, view: ViewState) -> None:
    """Give the view's settings to the viewer that is drawn next."""
    settings: Json = {"scale": "shared"} if recipe.scale == "shared" else {}
    fields = settings | {name: value for name, value in view.settings.items() if name in SETTINGS}
    if settings := {name: str(int(value) if isinstance(value, bool) else value) for name, value in fields.items()}:
        start = state.of(state.ViewerStart)
        start.settings, start.read = settings | {"id": secrets.token_hex(8)}, True
        start.generation += 1


def open_explore() -> None:
    """Go to the map on Explore."""
    url_state.link(view="map")
    state.of(Painting).open = False
    navigation = state.of(state.Navigation)
    if navigation.page != "explore":
        navigation.go_to = page.script("explore")


def _local(model: str, picture: str) -> ModelSpec:
    """Return a model; raise ModelProblem where its weights are not on this machine."""
    spec = catalog.spec(model)
    if not catalog.available(spec):
        raise ModelProblem(
            f"{picture} was explained by {spec.id}, which is not on this machine: choose it under Model, then open "
            "this again."
        )
    return spec


def open_models(image: Image, recipe: Recipe, view: ViewState, ids: list[str]) -> None:
    """Compare these models on a picture; raises ModelProblem as `open_result` does."""
    open_result(image, recipe, view)
    url_state.remember("models-of", catalog.spec(recipe.model).family)
    url_state.link(models=",".join(ids), tab="models")
    state.of(state.Navigation).go_to = page.script("compare")


def open_pictures(model: str, query: Image, pair: Similarity | None = None) -> None:
    """Compare a picture with the second one as in `pair`, in a callback before `go`; raises as `open_result` does."""
    choose_model(_local(model, query.name))
    if pair is not None:
        layers = () if pair.automatic else pair.layers
        control_table.set_options({"method": pair.method, "layers": layers, "preprocessing": pair.preprocessing})
    url_state.link(tab="pictures")
    choose_picture(query)
    state.of(state.Navigation).go_to = page.script("compare")


def choose_picture(image: Image) -> None:
    """Choose an example or one of the session's own pictures."""
    example = image_source.example_named(image.name)
    if example is not None and image_source.example(example).sha256 == image.sha256:
        image_source.choose_example(example, named=True)
    else:
        image_source.choose_upload(image, named=True)


def go(*kept_parameters: str) -> None:
    """Switch to the requested page; `kept_parameters`: parameters for the browser's Back."""
    navigation = state.of(state.Navigation)
    script, navigation.go_to = navigation.go_to, None
    if script is not None:
        query = st.query_params
        st.switch_page(script, query_params={name: query[name] for name in kept_parameters if name in query} or None)


def compare_with_file(explanation: Explanation) -> None:
    """Say if a reopened view has other weights or preprocessing, and once which options are not the file's."""
    reopened = state.of(state.Reopened)
    recipe, now = reopened.recipe, explanation.recipe
    if recipe is None or (recipe.picture_sha256, recipe.model) != (explanation.image.sha256, explanation.model.id):
        return
    if not reopened.compared and explanation.finished:
        reopened.compared = True
        labels = explanation.evidence.loaded.adapter.labels
        before = recipe.model_copy(update={"classes": tuple(control_table.name_classes(recipe.classes, labels))})
        # Explore has its own number of answers, viewers their scale, and no map of one box depends on the ratio.
        own = {"scale", "ratio"} if state.of(state.Navigation).page == "topk" else {"scale", "ratio", "top_k"}
        names = [name for name in (*RECIPE_OPTIONS, "method", "layers", "masks") if name not in own]
        other = [f"{name} {getattr(before, name)}" for name in names if getattr(before, name) != getattr(now, name)]
        if other:
            words = f"The file has {escape(', '.join(other))}, which this page does not offer: it was left out."
            url_state.report_once(words)
    names = ["weights"] * (recipe.weights_sha256 != now.weights_sha256)
    names += ["preprocessing"] * (recipe.prepared not in (None, now.prepared))
    if names:
        difference = f"{recipe.model} has other {listing(names)} here than the file was made with"
        st.caption(f":material/warning: {difference}: its map was different.")


def choose_model(spec: ModelSpec) -> None:
    """Choose the model, in a widget's callback."""
    timm = spec.id.startswith("timm/")
    chosen = {"timm": spec.id.removeprefix("timm/")} if timm else {f"size-{spec.family}": spec.id}
    for key, value in {"family": OTHER if timm else spec.family, **chosen}.items():
        # Set while a widget is not on the page, a value would come up again after it was removed.
        if key in st.session_state:
            st.session_state[key] = value
        url_state.remember(key, value)
