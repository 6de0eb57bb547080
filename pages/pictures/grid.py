"""The pictures of a run as equal tiles: views, filters, the panel of one, actions on selected ones."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import streamlit as st
from PIL import Image as Pillow
from PIL import ImageOps

from sightglass import explain
from sightglass.batch import finished, journal, table
from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB
from sightglass.evaluation.errors import ALL, ErrorReport, draw_tile
from sightglass.evaluation.kinds import TYPE_NAMES, ErrorUnit, kind_of
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import percent
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.wording import UNSURE
from sightglass.models import catalog
from sightglass.pages.pictures.job import PicturesJob, PicturesPage
from sightglass.report import embedded_recipe
from sightglass.report import views as report_views
from sightglass.ui import saving
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.markdown import escape, shorten
from sightglass.ui.views import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.batch.finished import Result
    from sightglass.batch.run_store import RunPlan
    from sightglass.common.files import Json

    Frame = Any
    from sightglass.report.view import View
    from sightglass.ui.viewer import ViewSettings


PAGE = 24
WIDE = 208
BOX = (2 * WIDE, 2 * WIDE)
"""Pixels of a tile: twice its size on the page, for high-resolution screens."""
RAIL, PANEL = 224, 320
SMALL = 32
"""Pixels: COCO's limit of small objects, the square root of their area."""
JUDGED: dict[object, str] = {False: ":green[:material/check:] ", True: ":orange[:material/close:] "}
"""The sign of a right and of a wrong answer."""
VIEW, KIND, ABOUT, MAPS_OF = "pictures-view", "pictures-type", "pictures-about", "pictures-maps-of"


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, or one of a detector's errors in it."""

    id: str
    picture: str
    words: str
    """Below the picture, in Markdown."""
    alt: str
    file: str = ""
    """The picture under its map, in the folder of the run."""
    unit: ErrorUnit | None = None


def draw(job: PicturesJob, result: Result) -> None:
    """Draw the views, the filters, a page of tiles, and the panel of the opened one."""
    remembered = state.of(PicturesPage)
    top = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    with st.container(horizontal=True, key="pictures-grid"):
        rail = st.container(width=RAIL, key="pictures-rail")
        grid = st.container()
        side = st.container(width=PANEL, key="pictures-panel") if remembered.opened else None
    place = _choose_model(result, rail)
    with top:
        look: dict[str, Any] = {"key": VIEW, "name": "view", "label_visibility": "collapsed"}
        view = url_state.widget(st.segmented_control, "Pictures", _list_views(result, place), "all", **look)
        selects = st.toggle("Select", key="pictures-select")
    about = _draw_classes(result, place, grid) if view == "class" else None
    with rail:
        tiles = _filter(result, place, view, about)
    remembered.shown = list(dict.fromkeys(tile.picture for tile in tiles))
    with grid:
        if selects:
            draw_actions(job, result, place, tiles)
        if tiles:
            _draw_page(job, result, place, tiles, selects=selects)
        elif view != "class" or about:
            st.caption("No picture matches.")
    if side is not None:
        with side:
            draw_panel(job, result, place)


def _list_views(result: Result, place: int) -> dict[str, str]:
    """Return the views that the results have, with their counts."""
    frame = result.frames[place]
    views = {"all": f"All {len(frame):,}"}
    if (boxes := _find_boxes(result.reports[place])) is not None:
        views["wrong"] = f"Wrong {len(boxes.errors):,}"
    elif frame["wrong"].notna().any():
        views["wrong"] = f"Wrong {int(frame['wrong'].eq(True).sum()):,}"
    if len(views) > 1 or any(result.fits):
        views["class"] = "By class"
    if (differing := result.find_differing(place)) is not None:
        views["differ"] = f"Disagreements {len(differing):,}"
    return views


def _find_boxes(report: ErrorReport | None) -> ErrorReport | None:
    """Return a report whose errors are boxes, and not whole pictures."""
    return report if report is not None and kind_of(report.evaluation.task).counts_objects else None


def _choose_model(result: Result, rail: Any) -> int:
    """Draw the choice of the model whose maps are shown; return its place."""
    if len(result.plans) == 1:
        return 0
    names = {plan.model: name for plan, name in zip(result.plans, result.names, strict=True)}
    with rail:
        model = url_state.widget(st.selectbox, "Maps of", names, result.plans[0].model, key=MAPS_OF, name="of")
    return list(names).index(model)


def _draw_classes(result: Result, place: int, grid: Any) -> str | None:
    """Draw the table of classes; return the chosen one."""
    report, fit = result.reports[place], result.fits[place]
    config: dict[str, Any] = {}
    if report is None and fit is not None:
        rows = finished.list_area_classes(fit)
        config["IoU"] = tables.score("%.1f")
    elif (boxes := _find_boxes(report)) is not None:
        rows = finished.list_object_classes(boxes)
    else:
        rows = finished.list_classes(result.frames[place])
        config |= {"share": tables.score(), "taken for": st.column_config.TextColumn(width="large")}
    with grid:
        chosen = tables.choose_row(rows, key=f"pictures-classes-{place}", columns=config, height=260)
    return None if chosen is None else str(rows[chosen]["class"])


def _filter(result: Result, place: int, view: str, about: str | None) -> list[Tile]:
    """Draw the filters of a view; return the tiles that they leave."""
    frame = result.frames[place]
    if view in ("wrong", "class") and (boxes := _find_boxes(result.reports[place])) is not None:
        return [
            Tile(unit.id, unit.picture.key, escape(unit.words), f"{unit.words}, in {unit.picture.key}", unit=unit)
            for unit in _filter_units(boxes, about)
        ]
    scores = table.read_scores(result.plans[place].folder)
    task, kind = task_of(scores.task), kind_of(scores.task)
    if about is not None and kind.by_folders:
        frame = frame[frame["truth"].eq(about) & frame["wrong"].eq(True)]
    if view == "wrong":
        frame = frame[frame["wrong"].eq(True)]
    elif view == "differ":
        frame = frame[frame["picture"].isin(result.find_differing(place) or ())]
    left_out = {*(() if scores.sure else ("unsure", "sure")), *(("smallest", "largest") if kind.names_classes else ())}
    orders = {
        name: title for name, (title, column, _) in finished.ORDERS.items() if name not in left_out and column in frame
    }
    order = url_state.widget(
        st.selectbox, "Sort", orders, next(iter(orders)), key=f"pictures-order-{scores.task}", name="order"
    )
    frame = finished.order(_filter_rows(frame, scores, view), order)
    tiles = []
    for row in finished.list_rows(frame):
        picture, words = row["picture"], describe_row(row, scores, task.no_answer)
        tiles.append(Tile(picture, picture, words, f"{picture} under its map", file=row["file"]))
    return tiles


def describe_row(row: Json, scores: table.Scores, nothing: str) -> str:
    """Return a picture's answer and, where it is wrong, its label, in Markdown."""
    words = f"**{nothing}**"
    if label := row["predicted"]:
        words = f"**{escape(label)}** {scores.describe(row['predicted_score'], label)}"
    words = JUDGED.get(row.get("wrong"), "") + words
    if row.get("wrong") is True:
        words += f"  \nis: {escape(row['truth'])}"
    if (true := row.get("true_number")) is not None:
        words += f"  \nis: {scores.describe(true, label or '')}"
    return words


def _filter_rows(frame: Frame, scores: table.Scores, view: str) -> Frame:
    """Draw the filters of pictures; return the rows that match."""
    label = _choose("Label", frame["truth"], "pictures-label") if view != "class" else None
    predicted = _choose("Answer", frame["predicted"], "pictures-answer")
    unsure = scores.sure and st.checkbox(f"Unsure: below {percent(UNSURE)}", key="pictures-unsure")
    rows = frame[frame["predicted_score"] < UNSURE] if unsure else frame
    if predicted is not None:
        rows = rows[rows["predicted"] == predicted]
    return rows if label is None else rows[rows["truth"].eq(label)]


def _choose(title: str, values: Any, key: str) -> str | None:
    """Draw the choice of one of the values of a column; None for any."""
    options = sorted(values.dropna().unique())
    if len(options) < 2:
        return None
    chosen: str | None = st.selectbox(title, options, index=None, placeholder="any", key=key)
    return chosen


def _filter_units(report: ErrorReport, about: str | None) -> list[ErrorUnit]:
    """Draw the filters of a detector's errors; return those that match."""
    kinds = {ALL: f"All {len(report.errors):,}"} | {
        name: f"{TYPE_NAMES[name]} {count:,}" for name, count in report.types.items() if count
    }
    kind = url_state.widget(st.pills, "What is wrong", kinds, ALL, key=KIND, name="type")
    if about is None:
        names = {"": "any"} | {name: name for name in report.labels}
        about = url_state.widget(st.selectbox, "Class", names, "", key=ABOUT, name="about")
    small = st.checkbox(f"Smaller than {SMALL} px", key="pictures-small")
    units = report.select(kind, about)
    return [unit for unit in units if unit.size is not None and unit.size < SMALL] if small else units


_images: ByteCache[bytes] = ByteCache(8 * MIB, len)
"""Tiles by run and error or picture; empty of a picture that cannot be opened."""


def make_images(job: PicturesJob, result: Result, place: int, tiles: Sequence[Tile]) -> list[bytes]:
    """Return tiles as WebP of one size, cached; empty where a picture cannot be opened."""
    folder = result.plans[place].folder
    changed, items = finished.stamp(folder), {item.key: item for item in job.source.items}

    def make(tile: Tile) -> bytes:
        try:
            if tile.unit is None:
                with Pillow.open(folder / tile.file) as opened:
                    return _fit(opened.convert("RGB"))
            pixels = items[tile.picture].open().pixels
            return _fit(Pillow.fromarray(draw_tile(pixels, tile.unit, BOX)))
        except (OSError, KeyError, Problem):
            return b""

    def cached(tile: Tile) -> bytes:
        return _images.get_or_make((folder, changed, bool(items), tile.id), lambda: make(tile))

    with ThreadPoolExecutor(4, "tiles") as pool:
        return list(pool.map(users.bind_person(cached), tiles))


def _fit(picture: Pillow.Image) -> bytes:
    """Return a picture within a transparent box, so that all tiles are of one size."""
    picture = ImageOps.contain(picture, BOX)
    paper = Pillow.new("RGBA", BOX, (0, 0, 0, 0))
    # At the lower left, where its words begin.
    paper.paste(picture, (0, BOX[1] - picture.height))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=85, method=2)
    return buffer.getvalue()


def _draw_page(job: PicturesJob, result: Result, place: int, tiles: Sequence[Tile], *, selects: bool) -> None:
    """Draw one page of tiles."""
    pages = -(-len(tiles) // PAGE)
    # Its place is below the tiles, which depend on it.
    above, below = st.container(horizontal=True, gap="small"), st.container()
    number = 1
    if pages > 1:
        with below:
            number = int(st.pagination(pages, key=f"pictures-page-{place}-{len(tiles)}"))
    listed = tiles[PAGE * (number - 1) : PAGE * number]
    images = make_images(job, result, place, listed)
    with above:
        for index, (tile, image) in enumerate(zip(listed, images, strict=True)):
            _draw_tile(index, tile, image, selects=selects)


def _draw_tile(index: int, tile: Tile, image: bytes, *, selects: bool) -> None:
    with st.container(width=WIDE, gap="xxsmall", key=f"pictures-tile-{index}"):
        if image:
            st.image(image, width="stretch", alt=tile.alt)
        else:
            st.caption(":material/broken_image: This picture cannot be opened.")
        st.markdown(f":small[{tile.words}]")
        if selects:
            key = f"pictures-pick-{tile.id}"
            st.session_state[key] = tile.picture in state.of(PicturesPage).selected
            name = escape(shorten(tile.picture.rpartition("/")[2], 18))
            st.checkbox(name, key=key, on_change=_toggle, args=(tile.picture,))
        else:
            # It lies over the whole tile (layout.css).
            label, key = f"Open {escape(tile.picture)}", f"pictures-open-{tile.id}"
            act = partial(open_panel, tile.picture, tile.id if tile.unit is not None else "")
            st.button(label, key=key, type="tertiary", width="stretch", on_click=act)


def _toggle(picture: str) -> None:
    selected = state.of(PicturesPage).selected
    if picture in selected:
        selected.remove(picture)
    else:
        selected.append(picture)


def draw_actions(job: PicturesJob, result: Result, place: int, tiles: Sequence[Tile]) -> None:
    """Draw the actions on selected pictures."""
    remembered = state.of(PicturesPage)
    pictures = {*result.frames[place]["picture"]}
    selected = remembered.selected = [picture for picture in remembered.selected if picture in pictures]
    with st.container(horizontal=True, vertical_alignment="center"):
        listed = list(dict.fromkeys(tile.picture for tile in tiles))
        if not {*listed} <= {*selected}:
            label, icon, act = f"Select all {len(listed):,}", ":material/check_box:", partial(_select, listed)
            st.button(label, icon=icon, type="tertiary", key="pictures-select-all", on_click=act)
        if selected:
            st.caption(f"{len(selected):,} selected", width="content")
            draw_slides_button(job, result, place, selected)
            st.button("Clear", type="tertiary", key="pictures-deselect", on_click=_select, args=((),))
    page.say_problem()


def _select(pictures: Sequence[str]) -> None:
    remembered = state.of(PicturesPage)
    remembered.selected = list(dict.fromkeys((*remembered.selected, *pictures))) if pictures else []


def open_panel(picture: str, unit: str = "") -> None:
    """Open the panel of a picture, or of an error in it, in a callback; close it without a name."""
    remembered = state.of(PicturesPage)
    remembered.opened, remembered.unit = picture, unit


def draw_panel(job: PicturesJob, result: Result, place: int) -> None:
    """Draw the opened picture under the map of each model, and what can be done with it."""
    remembered = state.of(PicturesPage)
    key = remembered.opened
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"**{escape(shorten(PurePosixPath(key).name, 28))}**", width="content")
        icon, close = ":material/close:", partial(open_panel, "")
        st.button("", icon=icon, type="tertiary", key="pictures-close", help="Close", on_click=close)
    plan = result.plans[place]
    report = result.reports[place]
    unit = next((unit for unit in report.errors if unit.id == remembered.unit), None) if report is not None else None
    if unit is not None:
        st.markdown(escape(unit.words))
    if (row := _find_row(result.frames[place], key)) is not None:
        st.button("Open in Explore", key="pictures-explore", on_click=_open, args=(job, plan, row, unit))
    page.say_problem()
    wide = PANEL if len(result.plans) == 1 else (PANEL - 16) // 2
    with st.container(horizontal=True):
        for by, frame, name in zip(result.plans, result.frames, result.names, strict=True):
            with st.container(width=wide, gap="xxsmall"):
                if (row := _find_row(frame, key)) is not None:
                    _draw_model_map(by, row, name)
                else:
                    st.caption(f"{escape(name)} has no answer to this picture.")


def _find_row(frame: Frame, key: str) -> Json | None:
    return next(iter(finished.list_rows(frame[frame["picture"].eq(key)])), None)


def _draw_model_map(plan: RunPlan, row: Json, name: str) -> None:
    scores = table.read_scores(plan.folder)
    words = describe_row(row, scores, task_of(scores.task).no_answer)
    try:
        st.image((plan.folder / row["file"]).read_bytes(), width="stretch", alt=f"Its map by {name}")
    except OSError:
        st.caption("The map's image was deleted: run it again.")
    st.markdown(f":small[{escape(name)}  \n{words}]")


@page.keeping_problem()
def _open(job: PicturesJob, plan: RunPlan, row: Json, unit: ErrorUnit | None) -> None:
    """Open the picture on Explore as it was explained in the run, or where the map of an error is."""
    image, recipe = job.find_item(row["picture"]).open(), table.recipe(journal.settings_of(plan.folder), row)
    label = row.get("label")
    automatic = not plan.options.get("layers")
    if unit is not None:
        task, answer = task_of(catalog.spec(plan.model)), unit.answer
        label, automatic = unit.predicted, False
        index, anchor = (None, None) if answer is None else (answer.index, answer.anchor)
        recipe = recipe.model_copy(update={"targets": ()} | task.decoder.options_of(index, anchor))
    view = embedded_recipe.ViewState(label=label[:200] if isinstance(label, str) else None, automatic=automatic)
    reopen.open_result(image, recipe, view)


def draw_slides_button(job: PicturesJob, result: Result, place: int, selected: Sequence[str]) -> None:
    """Draw the button that makes a slide of each selected picture."""
    rows = result.frames[place].set_index("picture", drop=False)
    plan = result.plans[place]

    def make(row: Json, _look: ViewSettings) -> View:
        recipe = table.recipe(journal.settings_of(plan.folder), row)
        return report_views.map_view(explain.replay(recipe, job.find_item(row["picture"]).open()), 0)

    chosen = finished.list_rows(rows.loc[[*selected]])
    saving.make_deck("selected", job.source.name, lambda: (make(row, {}) for row in chosen))
