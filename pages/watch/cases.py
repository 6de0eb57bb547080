"""Draw the worst cases of a log."""

from __future__ import annotations

import io
import json
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.settings import MIB
from sightglass.components.session import history_store, reopen, state, url_state
from sightglass.components.session.markdown import escape, sentence, shorten
from sightglass.components.session.pictures import image_source
from sightglass.components.views import charts, tables
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.maps import statistics
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing, percent, pixels
from sightglass.explain.picture.image import Image
from sightglass.export import embedded_recipe
from sightglass.monitor import trend
from sightglass.monitor.phrases import clock, many
from sightglass.monitor.rules import KINDS
from sightglass.monitor.threshold import still_odd
from sightglass.monitor.trend import OUTCOMES
from sightglass.pages.watch import log
from sightglass.pages.watch.log import Watching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sightglass.monitor import Entry, Monitor
    from sightglass.pages.watch.log import Chosen

WIDE = 168
BOX = (2 * WIDE, 2 * WIDE * 3 // 4)
"""Pixels of a picture in the gallery: twice its size on the page, for high-resolution screens."""
PAGE = 15
MAX_ENTRIES = 500
"""Entries that are read; older ones are in the log's files."""
ORDERS = {"worst": "Worst first", "newest": "Newest first"}
LARGE = 720
_entries: ByteCache[bytes] = ByteCache(8 * MIB, len)
"""Maps in the gallery, by folder and entry."""
MAX_HEIGHT, MAX_WIDTH = 520, 470
"""Pixels of an entry's picture, so that the buttons below it stay in sight."""


def draw(chosen: Chosen, odd: int, thresholds: Mapping[str, float]) -> None:
    """Draw the gallery with its filters; `odd`: how many odd pictures the trend counts in the same time.

    `thresholds`: the confidence of each model below which an answer is unsure, if not that of the log.
    """
    logged = log.read(
        ("entries", *chosen.stamp),
        lambda: chosen.monitor.entries(
            model=chosen.model, source=chosen.source, since=chosen.since, order="newest", limit=MAX_ENTRIES
        ),
    )
    every = [entry for entry in logged if still_odd(entry, thresholds)]
    counts: dict[str, int] = {}
    for entry in every:
        for kind in entry.why:
            counts[kind] = counts.get(kind, 0) + 1
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("### Worst cases", width="content")
        order, why = _choices(counts)
    found = [entry for entry in every if why == "" or why in entry.why]
    if order == "worst":
        found.sort(key=lambda entry: -entry.severity)
    # The log does not name the model of those.
    left = chosen.monitor.left_out(since=chosen.since) if not (chosen.model or chosen.source) else 0
    if left:
        pictures = "One more odd picture was" if left == 1 else f"{left:,} more odd pictures were"
        st.caption(f"{pictures} not logged in full, because too many came at once: only the charts include them.")
    if not found:
        st.caption(_none(odd))
        return
    st.caption(_count(found, every, why, odd))
    page = 1
    if (pages := -(-len(found) // PAGE)) > 1:
        page = int(st.pagination(pages, key=f"watch-page-{order}-{why}"))
    with st.container(horizontal=True, gap="small"):
        for entry in found[PAGE * (page - 1) : PAGE * page]:
            with st.container(width=WIDE, gap="xxsmall"):
                _tile(chosen, entry)


def _none(odd: int) -> str:
    if not odd:
        return ":material/check: Nothing odd in this time."
    few = "1 was odd; it was not" if odd == 1 else f"{odd:,} were odd; none of them was"
    return f"{few} logged in full: the charts include {'it' if odd == 1 else 'them'}, but there is no map to show."


def _count(found: list[Entry], every: list[Entry], why: str, odd: int) -> str:
    if len(every) == MAX_ENTRIES:
        newest = f"The newest {MAX_ENTRIES:,} entries; older ones are in the log's files."
        return newest if why not in KINDS else f"{len(found):,} of the newest {MAX_ENTRIES:,} entries. {KINDS[why]}"
    if why in KINDS:
        return f"{len(found):,} of {many(len(every), 'odd one')} logged. {KINDS[why]}"
    if odd > len(every):
        return f"{len(every):,} of {many(odd, 'odd one')} logged in full; the charts include all."
    return f"{many(len(every), 'odd one')} logged."


def _choices(counts: dict[str, int]) -> tuple[str, str]:
    with st.container(horizontal=True, width="content", vertical_alignment="center"):
        kinds = sorted(counts, key=lambda kind: -counts[kind])
        why = url_state.widget(
            st.selectbox,
            "Why",
            # No counts: a menu keeps the label that it was chosen by.
            {"": "All reasons"} | {kind: OUTCOMES.get(kind, kind).capitalize() for kind in kinds},
            "",
            key="watch-why",
            name="why",
            label_visibility="collapsed",
            width=230,
            help="Only entries that were odd in this way.",
        )
        order = url_state.widget(
            st.selectbox,
            "Order",
            ORDERS,
            "worst",
            key="watch-order",
            name="order",
            label_visibility="collapsed",
            width=150,
            help="By how far they exceed the limits, or by time.",
        )
    return order, why


def _tile(chosen: Chosen, entry: Entry) -> None:
    try:
        over = "over the picture" if entry.kept else "alone"
        st.image(
            _entries.get_or_make((chosen.folder, entry.id), lambda: _render_map(chosen.monitor, entry)),
            # With a width in numbers, Streamlit downscales the picture to it.
            width="stretch",
            alt=f"Map of {entry.picture} {over}: {entry.label or 'nothing'}",
        )
    except Problem:
        st.caption(f":material/image_not_supported: No map of {escape(entry.picture)}.")
    sure = f" {percent(entry.confidence)}" if entry.confidence is not None else ""
    why = ", ".join(OUTCOMES.get(kind, kind) for kind in entry.why)
    st.markdown(
        f"**{escape(entry.label or 'nothing')}**{sure}  \n"
        f":small[{why}]  \n:small[{trend.ago(entry.time, chosen.now)}, {escape(entry.source)}]"
    )
    st.button(
        escape(shorten(entry.picture, 20)),
        key=f"watch-open-{entry.id}",
        type="tertiary",
        icon=":material/open_in_full:",
        help=f"Show everything logged about {escape(entry.picture)}.",
        on_click=_open,
        args=(entry.id,),
    )


def _render_map(monitor: Monitor, entry: Entry) -> bytes:
    """Return a map on a transparent box of one size, so that the rows of the gallery align."""
    with Pillow.open(io.BytesIO(monitor.overlay(entry, side=max(BOX)))) as opened:
        made = opened.convert("RGBA")
    made.thumbnail(BOX)
    paper = Pillow.new("RGBA", BOX, (0, 0, 0, 0))
    paper.paste(made, ((BOX[0] - made.width) // 2, (BOX[1] - made.height) // 2))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=88)
    return buffer.getvalue()


def _open(id: str) -> None:
    state.of(Watching).entry = id
    url_state.write("entry", id or None)


def _close() -> None:
    _open("")


def get_open_entry() -> str:
    """Return the id of the entry that is open; at first the one in the address."""
    watching = state.of(Watching)
    if watching.entry is None:
        watching.entry = st.query_params.get("entry", "")
    return watching.entry


def window(monitor: Monitor) -> None:
    """Draw the entry that was clicked in a dialog, which stays open while the log grows."""
    if not (id := get_open_entry()):
        return

    @st.dialog("Log entry", width="large", icon=":material/open_in_full:", on_dismiss=_close)
    def show() -> None:
        if get_open_entry() != id:
            # A click in here reruns the dialog alone: the page must open another entry, or close it.
            st.rerun()
        watching = state.of(Watching)
        failed, watching.entry_problem = watching.entry_problem, ""
        if failed:
            st.error(sentence(failed), icon=":material/error:")
        try:
            _entry(monitor, monitor.entry(id))
        except Problem as problem:
            st.error(sentence(problem), icon=":material/error:")

    show()


def _entry(monitor: Monitor, entry: Entry) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        try:
            made = monitor.overlay(entry, side=LARGE)
            with st.container(width=_width(made)):
                st.image(made, width="stretch", alt=f"The map of {entry.of} for {entry.picture}")
            if entry.kept is None:
                st.caption("The map alone: the picture was not saved.")
        except Problem as problem:
            st.caption(f":material/image_not_supported: {sentence(problem)}")
    with right:
        sure = f", {percent(entry.confidence)}" if entry.confidence is not None else ""
        st.markdown(f"**{escape(entry.label or 'Nothing found')}{sure}**")
        st.markdown("  \n".join(f":material/warning: {escape(text)}" for text in entry.words))
        method = METHODS[entry.method].name if entry.method in METHODS else entry.method or "no map"
        size = pixels(entry.width, entry.height)
        st.caption(
            f"{escape(entry.picture)}, {size}  \n{entry.model}, {escape(method)}"
            f"{f' at {escape(listing(list(entry.layers)))}' if entry.layers else ''}  \n"
            f"{clock(entry.time, log.zone())}, from {escape(entry.source)}"
        )
        if len(entry.predictions) > 1:
            named = [{"prediction": label, "score": percent(score)} for label, score in entry.predictions]
            tables.table(named, right=("score",))
        _onward(entry)
        _files(entry)
    _numbers(entry)


def _width(picture: bytes) -> int:
    with Pillow.open(io.BytesIO(picture)) as opened:
        return max(80, min(MAX_WIDTH, round(MAX_HEIGHT * opened.width / opened.height)))


def _onward(entry: Entry) -> None:
    known = entry.kept is not None or _example(entry) is not None
    if entry.recipe is None or not known:
        st.caption("The picture was not saved: upload it on Explore to see this view again.")
        return
    with st.container(horizontal=True):
        st.button(
            "Open in Explore",
            icon=":material/visibility:",
            on_click=_take,
            args=(entry,),
            help="Open the same picture, model, method and layers there, with every control.",
        )
        if history_store.writable():
            st.button(
                "Save to history",
                icon=":material/bookmark_add:",
                on_click=history_store.keep_again,
                args=(partial(_picture, entry), entry.recipe),
                kwargs={"screen": "watch"},
                help="Save the picture and its map to History; the map is computed again from its recipe.",
            )


def _take(entry: Entry) -> None:
    assert entry.recipe is not None
    try:
        reopen.result(_picture(entry), entry.recipe, embedded_recipe.Look(label=entry.of[:200] if entry.of else None))
    except Problem as problem:
        state.of(Watching).entry_problem = str(problem)
        return
    _close()


def _picture(entry: Entry) -> Image:
    """Return an entry's picture; raises Problem where it was deleted."""
    if (name := _example(entry)) is not None:
        return image_source.example(name)
    assert entry.kept is not None
    try:
        return Image.open(entry.kept.read_bytes(), name=entry.picture)
    except OSError as error:
        raise ImageProblem(f"{entry.picture} was deleted from the log: upload it on Explore instead.") from error


def _example(entry: Entry) -> str | None:
    """Return the example that the picture is, if any."""
    for name in image_source.EXAMPLES:
        try:
            if image_source.example(name).sha256 == entry.sha256:
                return name
        except Problem:
            continue  # its package is not installed
    return None


def _numbers(entry: Entry) -> None:
    numbers = [
        {
            "number": name.replace("_", " "),
            "value": statistics.format_value(name, value),
            "meaning": statistics.MEANING[name],
        }
        for name, value in entry.statistics.items()
        if name in statistics.MEANING and isinstance(value, int | float)
    ]
    if numbers:
        with st.expander("Statistics of the map", icon=":material/table_rows:"):
            tables.table(numbers, right=("value",), height=300)
    if entry.recipe is not None:
        with st.expander("Recipe", icon=":material/receipt_long:"):
            st.caption("To reproduce the map, run `sightglass replay recipe.json` with the picture.")
            st.code(entry.recipe.model_dump_json(indent=1), language=None, height=240)


def _files(entry: Entry) -> None:
    stem = f"{entry.picture.rsplit('.', 1)[0]}-{entry.id[-8:]}".replace(" ", "-")
    offers: list[charts.Offer] = []
    raw = f"Raw map, {entry.raw.suffix if entry.raw else ''}"
    for label, path in (("Map, .png", entry.heatmap), (raw, entry.raw)):
        if path is not None and path.is_file():
            offers.append((label, f"{stem}{path.suffix}", path.read_bytes))
    named = {"heatmap": entry.heatmap, "raw": entry.raw, "picture": entry.kept}
    line = entry.line({kind: path.name for kind, path in named.items() if path})
    offers.append(("Log line, .json", f"{stem}.json", lambda: json.dumps(line, indent=1)))
    if entry.recipe is not None:
        recipe = entry.recipe
        offers.append(("Recipe, .json", f"{stem}-recipe.json", lambda: recipe.model_dump_json(indent=1)))
    with st.container(horizontal=True):
        for label, file, make in offers:
            charts.download(label, make, file, icon=":material/download:", key=f"watch-get-{label}", help=file)
