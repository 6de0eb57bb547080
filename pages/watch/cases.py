"""The worst cases: what was logged whole, as a gallery, and each one with its numbers, its recipe and its files."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import ImageProblem, Problem
from components.choices import image_picker
from components.session import reopen, url_state
from explain.methods import METHODS
from explain.monitor import trend
from explain.monitor.phrases import clock, many
from explain.monitor.rules import KINDS
from explain.monitor.trend import SAID
from explain.phrases import listing, percent, pixels
from explain.picture.image import Image
from pages.watch import log

if TYPE_CHECKING:
    from explain.monitor import Entry, Monitor
    from pages.watch.log import Chosen

WIDE = 168
BOX = (2 * WIDE, 2 * WIDE * 3 // 4)
"""Pixels of a picture in the gallery, twice as many as are drawn: sharp on a dense screen."""
PAGE = 15
MOST = 500
"""Entries that are looked through; older ones are in the files."""
ORDERS = {"worst": "Worst first", "newest": "Newest first"}
LARGE = 720
HIGH, BROAD = 520, 470
"""Pixels that the picture of one entry is drawn in at most, so that what can be done with it is in sight."""


def draw(chosen: Chosen, odd: int) -> None:
    """The gallery with its choices; `odd`: how many the trend counts in the same time."""
    stamp: tuple[object, ...] = (chosen.folder, trend.signature(chosen.folder))
    stamp += (chosen.model, chosen.source, chosen.span)
    if chosen.span != "all":
        stamp += (int(chosen.now.timestamp() // 60),)
    every: list[Entry] = log.kept(
        "entries",
        stamp,
        lambda: chosen.monitor.entries(
            model=chosen.model, source=chosen.source, since=chosen.since, order="newest", limit=MOST
        ),
    )
    counts: dict[str, int] = {}
    for entry in every:
        for kind in entry.why:
            counts[kind] = counts.get(kind, 0) + 1
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("##### Worst cases", width="content")
        order, why = _choices(counts)
    found = [entry for entry in every if why == "" or why in entry.why]
    if order == "worst":
        found.sort(key=lambda entry: -entry.severity)
    # The log does not say of which model they were.
    left = chosen.monitor.left_out(since=chosen.since) if not (chosen.model or chosen.source) else 0
    if left:
        many = "one" if left == 1 else f"{left:,}"
        st.caption(
            f"{many} more {'was' if left == 1 else 'were'} odd and not logged whole, because so many came at once: the "
            "charts have them, the gallery has not."
        )
    if not found:
        st.caption(_none(odd))
        return
    st.caption(_counted(found, every, why, odd))
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
    return f"{few} logged whole: the charts have {'it' if odd == 1 else 'them'}, there is no map to show."


def _counted(found: list[Entry], every: list[Entry], why: str, odd: int) -> str:
    if len(every) == MOST:
        said = f"Of the newest {MOST:,} that were logged; older ones are in the log's own files."
        return said if why not in KINDS else f"{len(found):,} of the newest {MOST:,} that were logged. {KINDS[why]}"
    if why in KINDS:
        return f"{len(found):,} of {many(len(every), 'odd one')} logged. {KINDS[why]}"
    if odd > len(every):
        return f"{len(every):,} of {many(odd, 'odd one')} logged whole; the charts have all."
    return f"{many(len(every), 'odd one')} logged."


def _choices(counts: dict[str, int]) -> tuple[str, str]:
    with st.container(horizontal=True, width="content", vertical_alignment="center"):
        kinds = ["", *sorted(counts, key=lambda kind: -counts[kind])]
        url_state.recall("watch-why", kinds, "", name="why")
        why = st.selectbox(
            "Why",
            kinds,
            # No counts: a menu goes on showing the words that it was chosen by.
            format_func=lambda kind: str(SAID.get(kind, kind)).capitalize() if kind else "All reasons",
            key="watch-why",
            label_visibility="collapsed",
            width=230,
            help="Only what was odd in this way.",
        )
        url_state.keep("watch-why", why, "", name="why")
        url_state.recall("watch-order", ORDERS, "worst", name="order")
        order = st.selectbox(
            "Order",
            list(ORDERS),
            format_func=ORDERS.__getitem__,
            key="watch-order",
            label_visibility="collapsed",
            width=150,
            help="How far beyond the limits, all reasons together; or when.",
        )
        url_state.keep("watch-order", order, "worst", name="order")
    return order or "worst", why or ""


def _tile(chosen: Chosen, entry: Entry) -> None:
    try:
        over = "over the picture" if entry.kept else "alone"
        st.image(
            _drawn(chosen.monitor, str(chosen.folder), entry, id=entry.id),
            # Streamlit makes a picture as small as a width in numbers.
            width="stretch",
            alt=f"Map of {entry.picture} {over}: {entry.label or 'nothing'}",
        )
    except Problem:
        st.caption(f":material/image_not_supported: No map of {_plain(entry.picture)}.")
    sure = f" {percent(entry.confidence)}" if entry.confidence is not None else ""
    why = ", ".join(SAID.get(kind, kind) for kind in entry.why)
    st.markdown(
        f"**{_plain(entry.label or 'nothing')}**{sure}  \n"
        f":small[{why}]  \n:small[{trend.ago(entry.time, chosen.now)}, {_plain(entry.source)}]"
    )
    st.button(
        _plain(_shortened(entry.picture)),
        key=f"watch-open-{entry.id}",
        type="tertiary",
        icon=":material/open_in_full:",
        help=f"Everything that was logged of {_plain(entry.picture)}.",
        on_click=_open,
        args=(entry.id,),
    )


@st.cache_data(show_spinner=False, max_entries=400)
def _drawn(_monitor: Monitor, folder: str, _entry: Entry, *, id: str) -> bytes:
    """In a box of one size, so that rows stand in rows; what is beside a picture shows the page."""
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(_monitor.overlay(_entry, side=max(BOX)))) as opened:
        made = opened.convert("RGBA")
    made.thumbnail(BOX)
    paper = Pillow.new("RGBA", BOX, (0, 0, 0, 0))
    paper.paste(made, ((BOX[0] - made.width) // 2, (BOX[1] - made.height) // 2))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=88)
    return buffer.getvalue()


def _open(id: str) -> None:
    st.session_state["watch-entry"] = id
    url_state.write("entry", id)


def _close() -> None:
    st.session_state["watch-entry"] = ""
    url_state.write("entry", None)


def opened() -> str:
    """The entry that is open, by its id; a link may name one."""
    state = st.session_state
    if "watch-entry" not in state:
        state["watch-entry"] = st.query_params.get("entry", "")
    found: str = state["watch-entry"]
    return found


def window(monitor: Monitor) -> None:
    """The entry that was clicked, in a window of its own; it stays open while the log goes on."""
    if not (id := opened()):
        return

    @st.dialog("What was logged", width="large", icon=":material/open_in_full:", on_dismiss=_close)
    def show() -> None:
        if opened() != id:
            # A click in here runs the window alone: the page under it is to turn to another, or to close it.
            st.rerun()
        if failed := st.session_state.pop("watch-failed", None):
            st.error(failed, icon=":material/error:")
        try:
            _entry(monitor, monitor.entry(id))
        except Problem as problem:
            st.error(str(problem), icon=":material/error:")

    show()


def _entry(monitor: Monitor, entry: Entry) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        try:
            made = monitor.overlay(entry, side=LARGE)
            with st.container(width=_broad(made)):
                st.image(made, width="stretch", alt=f"The map of {entry.of} for {entry.picture}")
            _ends(entry)
        except Problem as problem:
            st.caption(f":material/image_not_supported: {problem}")
    with right:
        sure = f", {percent(entry.confidence)} sure" if entry.confidence is not None else ""
        st.markdown(f"**{_plain(entry.label or 'Nothing found')}{sure}**")
        st.markdown("  \n".join(f":material/warning: {_plain(text)}" for text in entry.words))
        method = METHODS[entry.method].name if entry.method in METHODS else entry.method or "no map"
        size = pixels(entry.width, entry.height)
        st.caption(
            f"{_plain(entry.picture)}, {size}  \n{entry.model}, {method}"
            f"{f' at {listing(list(entry.layers))}' if entry.layers else ''}  \n"
            f"{clock(entry.time, log.zone())}, from {_plain(entry.source)}"
        )
        if len(entry.predictions) > 1:
            st.dataframe(
                [{"answer": label, "sure": percent(score)} for label, score in entry.predictions], hide_index=True
            )
        _onward(entry)
        _files(entry)
    _numbers(entry)


def _broad(picture: bytes) -> int:
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(picture)) as opened:
        return max(80, min(BROAD, round(HIGH * opened.width / opened.height)))


def _ends(entry: Entry) -> None:
    if entry.kept is None:
        st.caption("The map alone: the picture was not kept.")


def _onward(entry: Entry) -> None:
    known = entry.kept is not None or _example(entry) is not None
    if entry.recipe is None or not known:
        st.caption("Give Explore the picture itself to look at it again: it was not kept here.")
        return
    st.button(
        "Open in Explore",
        icon=":material/visibility:",
        on_click=_take,
        args=(entry,),
        help="The same picture, model, method and layers, with everything that Explore can do.",
    )


def _take(entry: Entry) -> None:
    from explain.export.embedded_recipe import View

    assert entry.recipe is not None
    try:
        if (name := _example(entry)) is not None:
            image = image_picker.example(name)
        else:
            assert entry.kept is not None
            try:
                image = Image.open(entry.kept.read_bytes(), name=entry.picture)
            except OSError as error:
                raise ImageProblem(f"{entry.picture} is gone: the log has thrown it away.") from error
        reopen.result(image, entry.recipe, View(label=entry.of[:200] if entry.of else None))
    except Problem as problem:
        st.session_state["watch-failed"] = str(problem)
        return
    _close()


def _example(entry: Entry) -> str | None:
    """The bundled picture that it is, where it is one."""
    for name in image_picker.EXAMPLES:
        try:
            if image_picker.example(name).sha256 == entry.sha256:
                return name
        except Problem:
            continue  # its package is not installed
    return None


def _numbers(entry: Entry) -> None:
    from explain.maps.statistics import MEANING

    said = [
        {"number": name.replace("_", " "), "value": f"{float(value):.3g}", "meaning": MEANING[name]}
        for name, value in entry.statistics.items()
        if name in MEANING and isinstance(value, int | float)
    ]
    if said:
        with st.expander("Numbers of the map", icon=":material/table_rows:"):
            st.dataframe(
                said,
                hide_index=True,
                height=300,
                column_config={"meaning": st.column_config.TextColumn(width="large")},
            )
    if entry.recipe is not None:
        with st.expander("Recipe", icon=":material/receipt_long:"):
            st.caption("What makes the same map again: `python -m explain replay recipe.json` with the picture.")
            st.code(entry.recipe.model_dump_json(indent=1), language=None, height=240)


def _files(entry: Entry) -> None:
    stem = f"{entry.picture.rsplit('.', 1)[0]}-{entry.id[-8:]}".replace(" ", "-")
    offers: list[tuple[str, str, str, Any]] = []
    for label, path, mime in (
        ("Map, .png", entry.heatmap, "image/png"),
        (f"Raw map, {entry.raw.suffix if entry.raw else ''}", entry.raw, "application/octet-stream"),
    ):
        if path is not None and path.is_file():
            offers.append((label, f"{stem}{path.suffix}", mime, path.read_bytes))
    named = {"heatmap": entry.heatmap, "raw": entry.raw, "picture": entry.kept}
    line = entry.line({kind: path.name for kind, path in named.items() if path})
    offers.append(("The line, .json", f"{stem}.json", "application/json", lambda: json.dumps(line, indent=1)))
    if entry.recipe is not None:
        recipe = entry.recipe
        offers.append(
            ("Recipe, .json", f"{stem}-recipe.json", "application/json", lambda: recipe.model_dump_json(indent=1))
        )
    with st.container(horizontal=True):
        for label, file, mime, make in offers:
            st.download_button(
                label,
                make,
                file_name=file,
                mime=mime,
                on_click="ignore",
                icon=":material/download:",
                key=f"watch-get-{label}",
                help=file,
            )


def _shortened(name: str, most: int = 20) -> str:
    return name if len(name) <= most else f"{name[: most - 8]}…{name[-7:]}"


def _plain(text: str) -> str:
    """What came from outside, as it is: no mark in it is one of ours."""
    for mark in r"\*_[]`$:#<>~":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")
