"""Keep a view in Saved, download its files, or add it to a deck; the history of who looks at the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import history
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.explain.phrases import plural
from sightglass.history import records as limits
from sightglass.report import deck_html, offers, views
from sightglass.report.embedded_recipe import list_checks
from sightglass.ui.declare import declare
from sightglass.ui.session import page, state, url_state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import SETTINGS, ViewSettings
from sightglass.ui.views import charts

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.history import History, Record
    from sightglass.report.offers import Files
    from sightglass.report.view import View

Draft = Callable[[ViewSettings], "View"]
"""Makes a view, given the viewer's settings."""
NEW = "new"
"""The choice of a new deck, in place of a deck's id."""
NEW_TITLE = "My deck"
PLAY = "play"
"""Parameter of the address of Saved: the whole deck is shown, from that slide."""
_view_settings = declare("view_settings", __file__, states=("settings",))
_deck_key = declare("deck_key", __file__, events=("add", "undo", "present"))


def save_and_export(
    screen: str,
    rows: Callable[[ViewSettings], Sequence[Files]],
    *,
    saved: Sequence[tuple[Explanation | Similarity, Json]] = (),
    view: bool = True,
    slide: Draft | None = None,
) -> None:
    """Draw *Save*, *Copy link* and *Add to deck* for the page's maps.

    `saved`: what is kept in Saved, each with more arguments of `History.keep`, the `index` of an explanation's map;
    without any there are only files. `rows`: returns the files, given the settings of the
    page's viewer, once the menu is open; each is made when its button is pressed. `view`: the page has a viewer, whose
    picture is offered as shown, and linked to. `slide`: makes the view's slide, given the same settings.

        saving.save_and_export("similarity", lambda look: [Files("Data", "Numbers.", [("JSON", "a.json", make)])])
    """

    def show() -> None:
        top = st.container()
        look = view_settings(f"view-files-{screen}") if view else {}
        if saved and not is_off():
            with top, page.report_problems():
                _draw_saved(screen, saved, look)
        with page.report_problems():
            for row in rows(look):
                with st.container(gap="xsmall"):
                    st.markdown(f"**{row.title}**", help=row.about)
                    with st.container(horizontal=True, gap="xsmall"):
                        for label, file, make in row.files:
                            charts.download(label, make, file, key=f"export-{screen}-{file}", help=file)

    # A popover that is filled after it was opened is placed as if it were empty, and cut off at the window's end.
    help = "Keep it in Saved, or download files: the picture as you see it, figures, reports, clips and data."
    page.button_for_window("Save", show, icon=":material/save_alt:", key=f"save-{screen}", help=help, width="medium")
    if view:
        link_button(saved)
    if slide is not None:
        add_to_deck(screen, slide)


def link_button(saved: Sequence[tuple[Explanation | Similarity, Json]] = ()) -> None:
    """Draw the button that copies the address of the view, in the browser: `viewer.js`.

    `saved`: as of `save_and_export`. A view of an own picture that is in Saved is linked to there: it lasts longer.
    """
    record = _find_kept(saved)
    place = st.container(key=f"saved-link-{record.id}", width="content") if record is not None else nullcontext()
    help = "Copy the address of this view as you see it."
    with place:
        st.button("Copy link", icon=":material/link:", key="copy-link", help=help)


def _find_kept(saved: Sequence[tuple[Explanation | Similarity, Json]]) -> Record | None:
    """Return the record of the one view of an own picture.

    None where there is no such view, or it is not in Saved.
    """
    if len(saved) != 1 or is_off() or not image_source.is_own():
        return None
    [(item, more)] = saved
    # Where Saved cannot be read, the link is the page's own.
    with suppress(Problem):
        return store().find(item, more.get("index", 0))
    return None


def save_map(
    screen: str, explanation: Explanation, index: int, *, pair: tuple[int, int] | None = None, view: bool = True
) -> None:
    """Draw `save_and_export` for a map, with its proof of this session; `pair`: two answers that its slide compares."""

    def make_files(look: ViewSettings) -> Sequence[Files]:
        return offers.map_downloads(explain_job.with_proofs(explanation), index, look)

    def make_slide(look: ViewSettings) -> View:
        proved = explain_job.with_proofs(explanation)
        return views.classes_view(proved, pair, look) if pair else views.map_view(proved, index, look)

    save_and_export(screen, make_files, saved=[(explanation, {"index": index})], view=view, slide=make_slide)


def _draw_saved(screen: str, saved: Sequence[tuple[Any, Json]], look: ViewSettings) -> None:
    """Draw the button that keeps the view in Saved, or a link to its record with note and tags."""
    items = [(explain_job.with_proofs(item) if hasattr(item, "heatmaps") else item, more) for item, more in saved]
    records = [_find(item, more.get("index", 0)) for item, more in items]

    @page.keeping_problem()
    def save() -> None:
        for record, (item, more) in zip(records, items, strict=True):
            if record is None:
                store().keep(item, look=dict(look), **more)

    page.say_problem()
    existing = [record for record in records if record is not None]
    if len(existing) < len(records):
        icon, help = ":material/bookmark_add:", "Save the picture, its maps, its checks and all numbers here."
        st.button("Keep it in Saved", icon=icon, key=f"keep-{screen}", type="primary", on_click=save, help=help)
        return
    icon, query = ":material/bookmark_added:", {"kept": existing[0].id} if len(existing) == 1 else None
    st.page_link(page.script("saved"), label="See it in Saved", icon=icon, query_params=query, width="content")
    edit_note(existing[0], [record.id for record in existing], key=f"keep-{screen}-{existing[0].id}")


@dataclass
class Adding:
    """The dialog that is open."""

    number: int = 0
    """Counts the dialogs: each has its own fields."""
    deck: str = ""
    """Id of the deck that its slide was added to."""
    names: dict[str, str] = field(default_factory=dict)
    """Labels of the decks to choose from, by their ids: another window may change a deck, and so its label."""


@dataclass
class Added:
    """The slide that the key D added last."""

    number: int = 0
    """Counts them: the browser shows the line of each once."""
    line: str = ""
    """What is said of it, in the next run alone."""
    slide: str = ""
    """Its id."""
    created: bool = False
    """Whether its deck was made for it."""
    asked: str = ""
    """What the browser asked for last, each press of the key another text: it is done once."""


def add_to_deck(screen: str, draft: Draft) -> None:
    """Draw the button for the dialog that shows the slide of a view.

    The key D, which is heard here too, adds the slide without the dialog.
    """
    if is_off():
        return
    _hear_key(screen, draft)
    icon = ":material/slideshow:"
    help = "Make a slide of this view. The key D adds it at once, to the deck used last."
    if not st.button("Add to deck", icon=icon, key=f"deck-{screen}", help=help):
        return
    adding = state.of(Adding)
    adding.number, adding.deck, adding.names = adding.number + 1, "", {}
    show = page.report_problems()(partial(_draw_dialog, draft))
    page.open_window("Present this, or add it to a deck", show, width="large", icon=icon)


def _hear_key(screen: str, draft: Draft) -> None:
    """Add the view, take it back or present it, as the browser asks.

    It is added to the deck used last.
    """
    added = state.of(Added)
    data = {"number": added.number if added.line else 0, "line": added.line, "slide": added.slide}
    asked = _deck_key(key=f"deck-line-{screen}", data=data)
    added.line = ""
    if asked.add is not None and asked.add != added.asked:
        added.asked = asked.add
        added.number += 1
        try:
            _add_at_once(draft(_parse_settings(asked.add)))
        except Problem as problem:
            added.line, added.slide = str(problem), ""
        st.rerun()
    if asked.undo is not None and asked.undo == added.slide:
        with page.report_problems():
            _take_back(added)
    if asked.present is not None and asked.present == added.slide:
        deck = store().decks.get(_deck_of(added.slide))
        st.switch_page(page.script("saved"), query_params={"deck": deck.id, PLAY: str(len(deck.slides))})


def _add_at_once(view: View) -> None:
    """Add a slide to the deck changed last, or to a new one."""
    decks, added = store().decks, state.of(Added)
    known = decks.all()
    deck = known[0] if known else decks.create(NEW_TITLE)
    added.slide, added.created = decks.add(deck.id, view).id, not known
    added.line = f"Added to {deck.title}, slide {len(deck.slides) + 1}."


def _take_back(added: Added) -> None:
    """Remove the slide added last.

    Its deck goes with it if that was made for it and holds no other slide.
    """
    decks, deck = store().decks, _deck_of(added.slide)
    decks.remove(added.slide)
    if added.created and not decks.get(deck).slides:
        decks.delete(deck)
    added.slide = ""


def _deck_of(slide: str) -> str:
    """Return the id of a slide's deck."""
    return slide.partition("-")[0]


def _draw_dialog(draft: Draft) -> None:
    adding = state.of(Adding)
    number = adding.number
    look = view_settings(f"slide-look-{number}")
    view = state.latest("slide", (number, tuple(sorted(look.items()))), lambda: draft(look))
    # Above the slide, whose height is known later: nothing that is clicked moves.
    with page.report_problems(), st.container(horizontal=True, vertical_alignment="bottom"):
        if adding.deck:
            deck = store().decks.get(adding.deck)
            label, query = f"Slide {len(deck.slides)} of {escape(deck.title)}", {"deck": deck.id}
            st.page_link(page.script("saved"), label=label, icon=":material/slideshow:", query_params=query)
        else:
            names = adding.names = adding.names or _name_decks()
            key, help = f"slide-deck-{number}", "The slide is added at its end. Change its texts on the page Saved."
            if st.selectbox("Deck", list(names), format_func=names.__getitem__, key=key, help=help) == NEW:
                key, help = f"slide-new-{number}", "What the new deck is called."
                st.text_input("Name of the new deck", NEW_TITLE, key=key, max_chars=120, help=help)
            act: Any = {"on_click": _add, "args": (number, view)}
            st.button("Add the slide", icon=":material/add:", key=f"slide-add-{number}", type="primary", **act)
    page.say_problem()
    stage(deck_html.deck_html([view], view.title), key=str(number))


def _name_decks() -> dict[str, str]:
    """Return the label of each deck by its id, last changed first, and of a new one."""
    decks = store().decks.all()
    labels = [*(f"{deck.title} ({plural(len(deck.slides), 'slide')})" for deck in decks), "A new deck"]
    return dict(zip([*(deck.id for deck in decks), NEW], url_state.distinct(labels), strict=True))


def _add(number: int, view: View) -> None:
    """Add the slide to the chosen deck, in a callback."""
    decks, widgets = store().decks, st.session_state
    with page.keeping_problem():
        deck = str(widgets.get(f"slide-deck-{number}", NEW))
        # One that was deleted elsewhere is offered no more.
        state.of(Adding).names = {}
        if deck == NEW:
            deck = decks.create(widgets.get(f"slide-new-{number}") or NEW_TITLE).id
        decks.add(deck, view)
        state.of(Adding).deck = deck


def make_deck(screen: str, title: str, make: Callable[[], Iterable[View]]) -> None:
    """Draw the button that makes a deck of views, and opens it on Saved."""
    if is_off():
        return
    help = "Make slides of these results, and open them on Saved."
    if st.button("Make deck", icon=":material/co_present:", key=f"make-deck-{screen}", help=help):
        with page.report_problems(), st.spinner("Making the slides…", show_time=False):
            st.switch_page(page.script("saved"), query_params={"deck": store().decks.create(title, make()).id})


def view_settings(key: str) -> ViewSettings:
    """Return the settings of the page's viewer; none in the first run, before the browser has sent them."""
    return _parse_settings(_view_settings(key=key, data={}).settings or "{}")


def _parse_settings(text: str) -> ViewSettings:
    """Return the settings of a view as the browser sent them."""
    reported = json.loads(text).items()
    return {name: value for name, value in reported if name in SETTINGS and isinstance(value, bool | int | float | str)}


def stage(html: bytes, *, key: str) -> None:
    """Draw a page of `deck_html`, 16:9 and as wide as its place."""
    with st.container(key=f"slide-stage-{key}"):
        # The height counts before the width is known.
        st.iframe(html.decode(), height=480, alt="Slides")


def store() -> History:
    """Return the session's history, for the current environment variables."""
    return _store(settings().history, settings().history_mb)


def is_off() -> bool:
    """Return whether the history is switched off."""
    return settings().history is None


@st.cache_resource(show_spinner=False, max_entries=64)
def _store(folder: Path | None, limit: float) -> History:
    del folder, limit  # the cache's key; History reads the environment itself
    return history.History()


def _find(result: Any, index: int) -> Record | None:
    """Return the record of a pair, or of a map if it has all proofs and checks, else None."""
    record = store().find(result, index)
    if record is None or record.pair is not None:
        return record
    checked = [i for i, checks in enumerate(list_checks(result)) if checks is not None]
    proofs = [store().proof(record, i) for i in result.proofs]
    return record if all((*proofs, *map(record.checks_of, checked))) else None


def edit_note(record: Record, ids: Sequence[str], *, key: str) -> None:
    """Edit the note and tags of the records `ids`, saving each change."""
    note, tags = f"{key}-note", f"{key}-tags"

    @page.keeping_problem()
    def save(name: str, field: str) -> None:
        for id in ids:
            store().annotate(id, **{name: st.session_state[field]})

    most, help = limits.MAX_NOTE, "Your own words, which are searched. Saved when you leave the field."
    st.text_area("Note", record.note, key=note, max_chars=most, on_change=save, args=("note", note), help=help)
    choices = list(dict.fromkeys([*record.tags, *store().choices()["tag"]]))
    look: Json = {"select_all": False, "accept_new_options": True, "max_selections": limits.MAX_TAGS}
    help = f"Your own keywords, at most {limits.MAX_TAG} characters each."
    look |= {"placeholder": "Choose or type one", "help": help}
    st.multiselect("Tags", choices, list(record.tags), key=tags, on_change=save, args=("tags", tags), **look)
    page.say_problem()


def format_day(then: datetime) -> str:
    """Return a date as `20 Nov 2026`."""
    return f"{then.day} {then:%b %Y}"


def format_time(then: datetime) -> str:
    """Return a time as `20 Nov 2026, 23:51 UTC`."""
    return f"{format_day(then)}, {then:%H:%M} UTC"
