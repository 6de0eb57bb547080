"""The pictures of a run as equal tiles: views, filters, the panel of one."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import streamlit as st
from PIL import Image as Pillow
from PIL import ImageOps

from sightglass.batch import finished, journal, relabel, table
from sightglass.common.errors import Problem
from sightglass.common.settings import MIB
from sightglass.evaluation.charts import Selection
from sightglass.evaluation.errors import ALL, ErrorReport, draw_tile
from sightglass.evaluation.kinds import TYPE_NAMES, ErrorUnit, kind_of
from sightglass.evaluation.label_changes import LabelChange
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import percent
from sightglass.explain.rendering.marks import COLORS
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.wording import UNSURE
from sightglass.models import catalog
from sightglass.pages.pictures import pointing
from sightglass.pages.pictures.job import PicturesJob, PicturesPage
from sightglass.report import embedded_recipe
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.markdown import escape, shorten
from sightglass.ui.views import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.batch.finished import Result
    from sightglass.batch.run_store import RunPlan
    from sightglass.common.files import Json
    from sightglass.evaluation.causes import Cause

    Frame = Any

PAGE = 24
"""Tiles that are shown at once."""
TILE_WIDTH, RAIL_WIDTH, PANEL_WIDTH, GAP = 208, 224, 560, 16
"""CSS pixels of a tile, of the filters, of the panel, and between the pictures in that."""
TILE_SIZE = (2 * TILE_WIDTH, 2 * TILE_WIDTH)
"""Pixels of a tile's picture: twice its size on the page, for high-resolution screens."""
SMALL = 32
"""Pixels: COCO's limit of small objects, the square root of their area."""
JUDGED: dict[object, str] = {False: ":green[:material/check:] ", True: ":orange[:material/close:] "}
"""The sign of a right and of a wrong answer."""
BY_MODEL = tuple(zip(COLORS, ("orange", "blue", "green", "yellow", "violet", "red"), strict=False))
"""The colour of each model's boxes in the panel, and its name in Markdown."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, or one of a detector's errors in it."""

    id: str
    picture: str
    words: str
    """Below the picture, in Markdown."""
    file: str = ""
    """The picture under its map, in the folder of the run."""
    unit: ErrorUnit | None = None

    def is_in(self, selection: Selection) -> bool:
        """Return whether it is among what is chosen."""
        return selection.holds(self.picture, "" if self.unit is None else self.unit.id)


def draw(job: PicturesJob, result: Result) -> int:
    """Draw the views, the filters, a page of tiles and the opened panel; return the index of the model of the maps."""
    remembered = state.of(PicturesPage)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        views = st.container(width="content")
        switch = st.container(width="content")
    charts = st.container()
    with st.container(horizontal=True, key="pictures-grid"):
        rail = st.container(width=RAIL_WIDTH, key="pictures-rail")
        grid = st.container()
        side = st.container(width=PANEL_WIDTH, key="pictures-panel") if remembered.opened else None
    model = _choose_model(result, rail)
    chosen = pointing.draw(result, model, switch, charts)
    selection = None if chosen is None else chosen.selection
    with views:
        look: dict[str, Any] = {"key": "pictures-view", "name": "view", "label_visibility": "collapsed"}
        view = url_state.widget(st.segmented_control, "Pictures", _list_views(result, model, selection), "all", **look)
    class_name = _draw_classes(result, model, grid) if view == "class" else None
    with grid:
        cause = _draw_causes(job, result, model) if view == "wrong" else None
    with rail:
        tiles = _filter(result, model, view, class_name)
    for part in filter(None, (cause, selection)):
        tiles = [tile for tile in tiles if tile.is_in(part)]
    if chosen is not None:
        chosen.describe(len({tile.picture for tile in tiles}))
    with grid:
        if tiles:
            _draw_page(job, result, model, tiles)
        elif view != "class" or class_name:
            st.caption("No wrong answer matches." if class_name else "No picture matches.")
    if side is not None:
        with side:
            draw_panel(job, result, model, tiles)
    return model


def _list_views(result: Result, model: int, selection: Selection | None) -> dict[str, str]:
    """Return the views that the results have, with their counts; `selection`: what is chosen in a chart."""
    pictures = result.frames[model]["picture"]
    views = {"all": f"All {len(pictures):,}"}
    if selection is not None:
        views["all"] = f"Chosen {sum(map(selection.holds, pictures)):,}"
    report = result.reports[model]
    if report is not None and report.evaluation.pictures:
        errors = [unit for unit in report.errors if selection is None or _is_chosen(unit, selection)]
        views["wrong"] = f"Wrong {len(errors):,}"
    if len(views) > 1 or any(result.fits):
        views["class"] = "By class"
    if result.list_by_right(model):
        views["differ"] = "By model"
    elif (differing := result.find_differing(model)) is not None:
        views["differ"] = f"Disagreements {len(differing):,}"
    return views


def _is_chosen(unit: ErrorUnit, selection: Selection) -> bool:
    """Return whether an error is among what is chosen; a picture's is where the picture is."""
    return selection.holds(unit.picture.key, "" if unit.kind == "picture" else unit.id)


def _find_boxes(report: ErrorReport | None) -> ErrorReport | None:
    """Return a report whose errors are boxes, and not whole pictures."""
    return report if report is not None and kind_of(report.evaluation.task).counts_objects else None


def _choose_model(result: Result, rail: Any) -> int:
    """Draw the choice of the model whose maps are shown; return its index."""
    if len(result.plans) == 1:
        return 0
    names = {plan.model: name for plan, name in zip(result.plans, result.names, strict=True)}
    with rail:
        look: dict[str, Any] = {"key": "pictures-maps-of", "name": "of"}
        chosen = url_state.widget(st.selectbox, "Maps of", names, result.plans[0].model, **look)
    return list(names).index(chosen)


def _draw_classes(result: Result, model: int, grid: Any) -> str | None:
    """Draw the table of classes; return the chosen one."""
    report, fit = result.reports[model], result.fits[model]
    config: dict[str, Any] = {}
    if report is None and fit is not None:
        rows = finished.list_area_classes(fit)
        config["IoU"] = tables.score("%.1f")
    elif (boxes := _find_boxes(report)) is not None:
        rows = finished.list_object_classes(boxes)
    else:
        rows = finished.list_classes(result.frames[model])
        config |= {"share": tables.score(), "taken for": st.column_config.TextColumn(width="large")}
    with grid:
        chosen = tables.choose_row(rows, key=f"pictures-classes-{model}", columns=config, height=260)
    return None if chosen is None else str(rows[chosen]["class"])


def _filter(result: Result, model: int, view: str, class_name: str | None) -> list[Tile]:
    """Draw the filters of a view; return the tiles that they leave.

    `class_name`: of the view of one class.
    """
    chosen = _choose_right(result, model) if view == "differ" else None
    boxes = _find_boxes(result.reports[model])
    if boxes is not None and (view in ("wrong", "class") or chosen is not None):
        units = _filter_units(boxes, class_name, chosen)
        return [Tile(unit.id, unit.picture.key, escape(unit.words), unit=unit) for unit in units]
    scores = table.read_scores(result.plans[model].folder)
    by_folders = kind_of(scores.task).by_folders
    frame = _select_rows(result, model, view, class_name if by_folders else None, chosen)
    order = _choose_order(frame, scores)
    frame = finished.order(_filter_rows(frame, scores, view), order)
    no_answer = task_of(scores.task).no_answer
    return [
        Tile(row["picture"], row["picture"], describe_row(row, scores, no_answer), row["file"])
        for row in finished.list_rows(frame)
    ]


def _choose_right(result: Result, model: int) -> set[str] | None:
    """Let a person choose which of two models is right.

    Return the ids of these units, None without labels.
    """
    by_right = result.list_by_right(model)
    if not by_right:
        return None
    titles = {key: f"{title} {len(ids):,}" for key, (title, ids) in by_right.items()}
    who = url_state.widget(st.pills, "Who is right", titles, "first", key="pictures-right", name="right")
    return by_right[who][1]


def _select_rows(result: Result, model: int, view: str, class_name: str | None, chosen: set[str] | None) -> Frame:
    """Return the pictures of a view.

    `class_name`: the class whose wrong answers alone are left, if any; `chosen`: the ids of the units that a person
    asked for.
    """
    frame = result.frames[model]
    if class_name is not None:
        frame = frame[frame["truth"].eq(class_name) & frame["wrong"].eq(True)]
    if view == "wrong":
        return frame[frame["wrong"].eq(True)]
    if view != "differ":
        return frame
    pictures = result.find_differing(model) if chosen is None else {id.rpartition("#")[0] for id in chosen}
    return frame[frame["picture"].isin(pictures or ())]


def _choose_order(frame: Frame, scores: table.Scores) -> str:
    """Let a person choose how a run's pictures are sorted."""
    left_out: set[str] = set()
    if not scores.sure:
        left_out |= {"unsure", "sure"}
    if kind_of(scores.task).names_classes:
        left_out |= {"smallest", "largest"}
    orders = {name: title for name, (title, by, _) in finished.ORDERS.items() if name not in left_out and by in frame}
    first = next(iter(orders))
    order: str = url_state.widget(
        st.selectbox, "Sort", orders, first, key=f"pictures-order-{scores.task}", name="order"
    )
    return order


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
    unsure = scores.sure and url_state.widget(
        st.checkbox, f"Unsure: below {percent(UNSURE)}", None, False, key="pictures-unsure"
    )
    rows = frame[frame["predicted_score"] < UNSURE] if unsure else frame
    if predicted is not None:
        rows = rows[rows["predicted"] == predicted]
    return rows if label is None else rows[rows["truth"].eq(label)]


def _choose(title: str, values: Any, key: str) -> str | None:
    """Draw the choice of one of the values of a column; None for any."""
    options = sorted(values.dropna().unique())
    if len(options) < 2:
        return None
    look: dict[str, Any] = {"index": None, "placeholder": "any"}
    chosen: str | None = url_state.widget(st.selectbox, title, options, None, key=key, **look)
    return chosen


def _filter_units(report: ErrorReport, class_name: str | None, chosen: set[str] | None = None) -> list[ErrorUnit]:
    """Draw the filters of a detector's errors, or of the `chosen` units; return those that match."""
    kind = ALL
    if chosen is None:
        kinds = {ALL: f"All {len(report.errors):,}"} | {
            name: f"{TYPE_NAMES[name]} {count:,}" for name, count in report.types.items() if count
        }
        kind = url_state.widget(st.pills, "What is wrong", kinds, ALL, key="pictures-type", name="type")
    if class_name is None:
        names = {"": "any"} | {name: name for name in sorted({unit.about for unit in report.units})}
        class_name = url_state.widget(st.selectbox, "Class", names, "", key="pictures-about", name="about")
    small = url_state.widget(st.checkbox, f"Smaller than {SMALL} px", None, False, key="pictures-small")
    units = report.select(kind, class_name)
    if chosen is not None:
        units = [unit for unit in report.units if unit.id in chosen and class_name in ("", unit.about)]
    return [unit for unit in units if unit.size is not None and unit.size < SMALL] if small else units


_images: ByteCache[bytes] = ByteCache(8 * MIB, len)
"""Tiles by run and error or picture; empty of a picture that cannot be opened."""


def make_images(job: PicturesJob, result: Result, model: int, tiles: Sequence[Tile]) -> list[bytes]:
    """Return tiles as WebP of one size, cached; empty where a picture cannot be opened."""
    folder = result.plans[model].folder
    changed, items = finished.stamp(folder), {item.key: item for item in job.source.items}

    def make(tile: Tile) -> bytes:
        try:
            if tile.unit is None:
                with Pillow.open(folder / tile.file) as opened:
                    return _fit(opened.convert("RGB"))
            return _fit(Pillow.fromarray(draw_tile(items[tile.picture].open().pixels, tile.unit, TILE_SIZE)))
        except (OSError, KeyError, Problem):
            return b""

    keys = [(folder, changed, bool(items), tile.id) for tile in tiles]
    with ThreadPoolExecutor(4, "tiles") as pool:
        return list(pool.map(_images.get_or_make, keys, [partial(make, tile) for tile in tiles]))


def _fit(picture: Pillow.Image) -> bytes:
    """Return a picture within a transparent box, so that all tiles are of one size."""
    # At the lower left, where its words begin.
    return _encode(ImageOps.pad(picture.convert("RGBA"), TILE_SIZE, color=(0, 0, 0, 0), centering=(0, 1)))


def _encode(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85, method=2)
    return buffer.getvalue()


def _page_key(model: int, count: int) -> str:
    return f"pictures-page-{model}-{count}"


def _draw_page(job: PicturesJob, result: Result, model: int, tiles: Sequence[Tile]) -> None:
    """Draw one page of tiles."""
    pages = -(-len(tiles) // PAGE)
    # Its place is below the tiles, which depend on it.
    above, below = st.container(horizontal=True, gap="small"), st.container()
    number = 1
    if pages > 1:
        with below:
            number = int(st.pagination(pages, key=_page_key(model, len(tiles))))
    listed = tiles[PAGE * (number - 1) : PAGE * number]
    images = make_images(job, result, model, listed)
    with above:
        for index, (tile, image) in enumerate(zip(listed, images, strict=True)):
            _draw_tile(index, tile, image)


def _draw_tile(index: int, tile: Tile, image: bytes) -> None:
    with st.container(width=TILE_WIDTH, gap="xxsmall", key=f"pictures-tile-{index}"):
        if image:
            alt = f"{tile.picture} under its map" if tile.unit is None else f"{tile.unit.words}, in {tile.picture}"
            st.image(image, width="stretch", alt=alt)
        else:
            st.caption(":material/broken_image: This picture cannot be opened.")
        st.markdown(f":small[{tile.words}]")
        # It lies over the whole tile (layout.css).
        label, key = f"Open {escape(tile.picture)}", f"pictures-open-{tile.id}"
        act = partial(open_panel, tile.picture, tile.id if tile.unit is not None else "")
        st.button(label, key=key, type="tertiary", width="stretch", on_click=act)


def _draw_causes(job: PicturesJob, result: Result, model: int) -> Selection | None:
    """Draw the groups of wrong answers by what their evidence lies on.

    Return the chosen group; None without one.
    """
    plan, report = result.plans[model], result.reports[model]
    if report is None or not report.errors:
        return None
    causes = None
    with page.report_problems():
        causes = finished.read_causes(plan.folder, report)
    if causes is None and not job.example:
        causes = background.outcome(
            "causes",
            finished.stamp(plan.folder),
            lambda progress, cancel, **_: finished.explain_errors(
                plan, job.open_picture, progress=progress, cancel=cancel
            ),
            button="Why wrong?",
            help="Group wrong answers by what their evidence lies on, and test each group by hiding that evidence.",
            event="the causes of wrong answers could not be found",
        )
    if not causes:
        return None
    st.markdown("  \n".join(f":small[{escape(cause.sentence)}]" for cause in causes))
    names = {"": "any"} | {cause.where: cause.where.removeprefix("evidence ") for cause in causes}
    chosen = url_state.widget(st.selectbox, "Evidence", names, "", key="pictures-cause", name="cause")
    return _select_cause(causes, report, chosen)


def _select_cause(causes: Sequence[Cause], report: ErrorReport, where: str) -> Selection | None:
    """Return the wrong answers whose evidence lies there; None without a place."""
    if not where:
        return None
    ids = {unit for cause in causes if cause.where == where for unit in cause.units}
    return Selection.of_units(where, (unit for unit in report.units if unit.id in ids))


def open_panel(picture: str, unit: str = "") -> None:
    """Open the panel of a picture, or of an error in it, in a callback; close it without a name."""
    remembered = state.of(PicturesPage)
    remembered.opened, remembered.unit = picture, unit


def draw_panel(job: PicturesJob, result: Result, model: int, tiles: Sequence[Tile]) -> None:
    """Draw the opened picture under the map of each model, and what can be done with it."""
    remembered = state.of(PicturesPage)
    key, plan, report = remembered.opened, result.plans[model], result.reports[model]
    unit = _find_unit(report, remembered.unit or f"{key}#picture-0")
    row = _find_row(result.frames[model], key)
    steps = _place_among(tiles)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape(shorten(PurePosixPath(key).name, 24))}**")
        if row is not None:
            st.button("Open in Explore", key="pictures-explore", on_click=_open, args=(job, plan, row, unit))
        for label, way, step in zip(("Previous", "Next"), ("left", "right"), steps, strict=True):
            to = remembered.place + step
            ends = remembered.place < 0 or not 0 <= to < len(tiles)
            look: dict[str, Any] = {"type": "tertiary", "shortcut": way, "disabled": ends}
            st.button(label, key=f"pictures-turn-{way}", on_click=_turn, args=(tiles, to, model), **look)
        icon, close = ":material/close:", partial(open_panel, "")
        st.button("", icon=icon, type="tertiary", key="pictures-close", help="Close", on_click=close)
    if unit is not None:
        st.markdown(escape(unit.words))
    if report is not None and not job.example:
        _draw_correction(job, report, unit, row or {})
    page.say_problem()
    others = [place for place in range(len(result.plans)) if place != model]
    with st.container(horizontal=True, gap=GAP):
        with st.container(width=PANEL_WIDTH, gap="xxsmall"):
            _draw_model(job, result, model, unit, key, [model, *others])
        for other in others:
            with st.container(width=(PANEL_WIDTH - GAP) // 2, gap="xxsmall"):
                _draw_model(job, result, other, unit, key, [other])


def _place_among(tiles: Sequence[Tile]) -> tuple[int, int]:
    """Remember the place of the opened picture among the tiles.

    Return the steps from it to the one before and to the next one.
    """
    remembered = state.of(PicturesPage)
    opened_id = remembered.unit or remembered.opened
    ids = [tile.id for tile in tiles]
    if opened_id in ids:
        remembered.place = ids.index(opened_id)
        return -1, 1
    # It left the tiles when its label was corrected: the next one is where it was.
    return -1, 0


def _find_unit(report: ErrorReport | None, id: str) -> ErrorUnit | None:
    """Return a labelled unit by its id; None without labels."""
    if report is None:
        return None
    return next((unit for unit in report.units if unit.id == id), None)


def _draw_correction(job: PicturesJob, report: ErrorReport, unit: ErrorUnit | None, row: Json) -> None:
    """Draw the button that corrects the label of the opened error or picture, where it is missing or contradicted."""
    kind, key, change = kind_of(report.evaluation.task), state.of(PicturesPage).opened, None
    missing, classes = row.get("truth") is None, report.evaluation.classes
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if kind.counts_objects and unit is not None and unit.wrong:
            label = unit.answer if (missing := unit.type == "extra") else unit.truth
            assert label is not None
            change = LabelChange(key, label.label, label.box, removed=not missing)
        elif kind.by_folders and row.get("wrong") is not False and row.get("predicted") in classes:
            first = classes.index(row["predicted"])
            change = LabelChange(key, st.selectbox("It is", classes, first, key=f"pictures-class-{key}", width=200))
        if change is not None:
            words = "Label is missing" if missing else "Label is wrong"
            st.button(words, key="pictures-correct", on_click=correct, args=(job, change))


@page.keeping_problem()
def correct(job: PicturesJob, change: LabelChange | None) -> None:
    """Correct a label in all runs of a job, or take back the last correction, in a callback."""
    relabel.change_label([plan.folder for plan in job.plans], change)
    remembered = state.of(PicturesPage)
    # The indices of the other labelled objects of the picture may have moved.
    if "#object-" in remembered.unit:
        remembered.unit = ""


def _turn(tiles: Sequence[Tile], to: int, model: int) -> None:
    """Open the panel of another tile, and its page of tiles, in a callback."""
    open_panel(tiles[to].picture, tiles[to].id if tiles[to].unit is not None else "")
    if len(tiles) > PAGE:
        st.session_state[_page_key(model, len(tiles))] = to // PAGE + 1


def _find_row(frame: Frame, key: str) -> Json | None:
    return next(iter(finished.list_rows(frame[frame["picture"].eq(key)])), None)


def _draw_model(
    job: PicturesJob, result: Result, model: int, unit: ErrorUnit | None, key: str, boxed: Sequence[int]
) -> None:
    """Draw an opened picture under a model's map, of an error that of its answer there, with the boxes of models."""
    plan, row, name = result.plans[model], _find_row(result.frames[model], key), escape(result.names[model])
    if row is None:
        st.caption(f"{name} has no answer to this picture.")
        return
    scores, image = table.read_scores(plan.folder), b""
    words = f"{name}  \n{describe_row(row, scores, task_of(scores.task).no_answer)}"
    if unit is not None:
        reports = {each: report for each in {model, *boxed} if (report := result.reports[each]) is not None}
        answers = {each: report.find_answers(unit) for each, report in reports.items()}
        values = next((values for _, values in answers.get(model, ())), None)
        if unit.kind == "picture":
            values = table.read_cells(row["cells"])
        else:
            texts = [f"{escape(answer.label)} {percent(answer.score)}" for answer, _ in answers.get(model, ())]
            words = f":{BY_MODEL[model][1]}[■] {name}: {texts[0] if texts else 'nothing there'}"
        boxes = [(answer.box, BY_MODEL[each][0]) for each in boxed for answer, _ in answers.get(each, ())]

        def make() -> bytes:
            pixels, shape = job.open_picture(key).pixels, (2 * PANEL_WIDTH, 2 * PANEL_WIDTH)
            return _encode(Pillow.fromarray(draw_tile(pixels, unit, shape, boxes, values)))

        changed = finished.stamp(*(each.folder for each in result.plans))
        with suppress(OSError, Problem):
            image = _images.get_or_make((changed, model, len(boxed), unit.id), make)
    try:
        alt = f"Its map by {result.names[model]}"
        st.image(image or (plan.folder / row["file"]).read_bytes(), width="stretch", alt=alt)
    except OSError:
        st.caption("The map's image was deleted: run it again.")
    st.markdown(f":small[{words}]")


@page.keeping_problem()
def _open(job: PicturesJob, plan: RunPlan, row: Json, unit: ErrorUnit | None) -> None:
    """Open the picture on Explore as it was explained in the run, or where the map of an error is."""
    image, recipe = job.open_picture(row["picture"]), table.recipe(journal.settings_of(plan.folder), row)
    label = row.get("label")
    automatic = not plan.options.get("layers")
    if unit is not None and unit.kind != "picture":
        task, answer = task_of(catalog.spec(plan.model)), unit.answer
        label, automatic = unit.predicted, False
        index, anchor = (None, None) if answer is None else (answer.index, answer.anchor)
        recipe = recipe.model_copy(update={"targets": ()} | task.decoder.options_of(index, anchor))
    view = embedded_recipe.ViewState(label=label[:200] if isinstance(label, str) else None, automatic=automatic)
    reopen.open_result(image, recipe, view)
