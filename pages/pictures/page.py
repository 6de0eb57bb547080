"""Pictures: many pictures with one or several models, from a folder to a decision."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.batch import (
    finished,
    labels,
    relabel,
    run_charts,
    run_report,
    run_slides,
    run_store,
    table,
    uploads,
)
from sightglass.common.errors import Problem
from sightglass.common.files import to_json
from sightglass.evaluation.decision import MAX_MODELS, TOLERANCE, Decision, list_objects
from sightglass.evaluation.kinds import kind_of
from sightglass.explain.phrases import plural, signed
from sightglass.explain.tasks import task_of
from sightglass.pages.pictures import grid, sheet, shown
from sightglass.pages.pictures import job as jobs
from sightglass.pages.pictures.job import PicturesJob, PicturesPage
from sightglass.report.table import csv as write_csv
from sightglass.report.view import ScoreBar
from sightglass.ui import saving
from sightglass.ui.choices import controls, model_picker
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.markdown import escape, sentence
from sightglass.ui.views import charts, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.batch.finished import Result
    from sightglass.batch.labels import LabelCoverage, LabelMatch
    from sightglass.explain import Explainer
    from sightglass.report.offers import Offer
    from sightglass.ui.session.state import Choices

UNDO = (
    "Take back the last correction of a label. Who corrects only what a model has wrong raises its score: the labels "
    "of its right answers may be wrong as well."
)


@page.show_errors
def pictures() -> None:
    reopen.go()
    remembered = state.of(PicturesPage)
    look: dict[str, Any] = {"horizontal_alignment": "distribute", "vertical_alignment": "center", "key": "pictures-top"}
    with st.container(horizontal=True, **look):
        chips = st.container(horizontal=True, vertical_alignment="center", width="content", key="pictures-chips")
        row = st.container(width="content")
    main, ribbon = st.container(), None
    with main, page.report_problems():
        _read_address(remembered)
        # At once: what a run writes into the address that another one follows closely may be lost.
        _write_address(remembered)
        if remembered.job is not None:
            _draw_job(remembered.job)
        elif remembered.source is None:
            ribbon = _draw_example()
    # After the results, which need no model.
    choices, explainer = controls.draw(place=row)
    with chips:
        _draw_chips(remembered, choices, explainer)
    if ribbon is not None:
        with ribbon:
            sheet.draw_drop(task_of(explainer.model), inline=True)
            page.say_problem()
    if remembered.source is not None and remembered.job is None:
        coverage = sheet.find_coverage(remembered, explainer)
        press = "" if coverage is not None and coverage.problem else ": press Run"
        main.markdown(f"## {plural(len(remembered.source.items), 'picture')}{press}.")
        if remembered.source.left_out:
            main.caption(escape(remembered.source.left_out))
        with main:
            shown.draw(remembered, explainer)
        if coverage is not None and coverage.problem:
            main.error(sentence(coverage.problem), icon=":material/error:")


def _read_address(remembered: PicturesPage) -> None:
    """Open the run of the address: a reloaded page shows what it showed before."""
    name = st.query_params.get("run")
    # Another one by a link on Saved.
    if remembered.read and not (name and state.of(state.Navigation).arrived):
        return
    remembered.read = True
    if name:
        with page.report_problems():
            if (job := jobs.open_run(name)) is None:
                url_state.leave_out("run", name)
            else:
                remembered.show(job)
                remembered.opened, remembered.unit = (st.query_params.get(each, "") for each in ("open", "error"))
    elif path := st.query_params.get("upload"):
        try:
            remembered.source, remembered.truth = uploads.open_upload(path)
        except Problem:
            url_state.leave_out("upload", path)


def _write_address(remembered: PicturesPage) -> None:
    job = remembered.job
    url_state.set_url("run", None if job is None or job.example else job.plans[0].folder.name)
    url_state.set_url("open", remembered.opened or None)
    url_state.set_url("error", remembered.unit or None)
    chosen, home = remembered.source, uploads.uploads_home()
    uploaded = chosen is not None and job is None and home in Path(chosen.path).parents
    url_state.set_url("upload", str(Path(chosen.path).relative_to(home)) if chosen is not None and uploaded else None)


def _draw_chips(remembered: PicturesPage, choices: Choices, explainer: Explainer) -> None:
    """Draw what is run: pictures, models, Run; then what becomes of it: deck, export."""
    job, task = remembered.job, task_of(explainer.model)
    chosen = job.source if job is not None else remembered.source
    matches, coverage = sheet.match_labels(remembered, explainer, choices), sheet.find_coverage(remembered, explainer)
    if chosen is not None or jobs.has_earlier():
        label = _describe_chosen(chosen, coverage, matches)
        chip = st.popover(label, icon=":material/photo_library:", key="pictures-chip")
        with chip, st.container(key="pictures-sheet"):
            sheet.draw(remembered, task, matches, explainer)
    plans_of = _draw_models(choices)
    running = job is not None and not job.finished()
    refused = job is None and coverage is not None and bool(coverage.problem)
    off, icon = chosen is None or running or refused, ":material/play_arrow:"
    if st.button("Run", icon=icon, type="primary", disabled=off, key="pictures-run"):
        assert chosen is not None
        _start(chosen, choices, plans_of, remembered)


def _describe_chosen(
    chosen: uploads.Source | None, coverage: LabelCoverage | None, matches: Sequence[LabelMatch]
) -> str:
    """Return `holiday.zip · 58 of 60 labelled, 2 files missing, 1 name of no class`."""
    if chosen is None:
        return "Your pictures"
    pictures = plural(len(chosen.items), "picture")
    if coverage is None:
        return escape(chosen.name) + (f" · {pictures}" if pictures != chosen.name else "")
    unknown = sum(not match.classes for match in matches)
    names = f", {plural(unknown, 'name')} of no class" if unknown else ""
    return f"{escape(chosen.name)} · {coverage.words}{names}"


def _draw_models(choices: Choices) -> list[str]:
    """Draw the models of the next run; return their ids, that of the row of controls first."""
    here = {spec.id: spec for spec in model_picker.list_present(choices.model.task)}
    here.pop(choices.model.id, None)
    # Sizes of the same family first: most people want to compare those.
    others = sorted(here.values(), key=lambda spec: spec.family != choices.model.family)
    offered = {spec.id: spec.name for spec in others}
    key = f"pictures-models-{choices.model.task}"
    linked: dict[str, Any] = {"key": key, "name": "models", "read": url_state.read_list}
    chosen = url_state.recall_value(options=offered, default=[], **linked)
    names = [choices.model.name, *(offered[name] for name in chosen)]
    with st.popover(f"To run: {escape(' · '.join(names))}", icon=":material/deployed_code:", key="pictures-models"):
        more: list[str] = []
        if offered:
            help = f"At most {MAX_MODELS} models run over the same pictures. The menu of models has the first one."
            look: dict[str, Any] = {"selection_mode": "multi", "help": help} | linked
            more = url_state.widget(st.pills, "Compare with", offered, more, **look)
        else:
            st.caption("No other model of this kind is on this machine: add one on the page Models.")
    return [choices.model.id, *more[: MAX_MODELS - 1]]


def _start(chosen: uploads.Source, choices: Choices, models: Sequence[str], remembered: PicturesPage) -> None:
    """Run the models over the pictures, with the chosen method and layers."""
    plans, truth, matches, earlier = [], remembered.truth, remembered.matches, list[Path]()
    if (before := remembered.job) is not None:
        # Other models over the same pictures are held against the same labels.
        earlier = [plan.folder for plan in before.plans]
        truth, matches = truth or labels.read_labels(earlier[0]), labels.corrections(earlier[0])
    for name in models:
        explainer = controls.load(name)
        fitted = choices if name == choices.model.id else controls.adapt_to_model(choices, explainer, choices.method)
        options = {"method": fitted.method, **fitted.options}
        folder = jobs.folder_for(chosen, name, options)
        if corrections := sheet.keep_known(matches, explainer.labels):
            labels.correct(folder, corrections)
        plans.append(run_store.RunPlan(name, options, folder))
    relabel.share_changes([*earlier, *(plan.folder for plan in plans)])
    remembered.show(jobs.find_running(plans) or PicturesJob(chosen, tuple(plans), labels=truth))
    remembered.source, remembered.truth, remembered.matches = None, None, {}
    st.rerun()


def _draw_example() -> DeltaGenerator:
    """Draw the packaged run, which leaves as soon as something else is chosen; return its ribbon."""
    ribbon = st.container(horizontal=True, vertical_alignment="center", key="pictures-ribbon")
    job = state.latest("pictures-example", "", jobs.open_example)
    if not background.has_ended(job, "the example of Pictures could not be read") or job.failure is not None:
        return ribbon
    with ribbon:
        charts.badge_example(plan.model for plan in job.plans)
        if st.button("Run it here", type="tertiary", icon=":material/play_arrow:", key="pictures-run-example"):
            plans = (replace(plan, folder=jobs.folder_for(job.source, plan.model, plan.options)) for plan in job.plans)
            _show(PicturesJob(job.source, tuple(plans)))
    _draw_result(job)
    return ribbon


def _draw_job(job: PicturesJob) -> None:
    """Draw a job's progress, failure or result."""
    if not job.finished():
        st.markdown(f"## {plural(len(job.source.items), 'picture')}")
        background.progress(job, help="What is finished is kept.")
        return
    if job.failure is not None:
        page.show_failure(job.failure, "a run of pictures failed")
        if not job.example and st.button("Start over", icon=":material/restart_alt:", key="pictures-over"):
            _show(PicturesJob(job.source, job.plans, labels=job.labels, resume=False))
        return
    if job.paused and job.source.items:
        done = sum(summary.done + len(summary.failed) for summary in (job.result or ())[-1:])
        left = "" if len(job.plans) == 1 else f" by {finished.name_of(job.plans[len(job.result or ()) - 1].model)}"
        words = f"Stopped: {done:,} of {plural(len(job.source.items), 'picture')} so far{left}."
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/pause_circle: {escape(words)}", width="content")
            if st.button("Go on", icon=":material/play_arrow:", key="pictures-continue"):
                _show(jobs.find_running(job.plans) or PicturesJob(job.source, job.plans, labels=job.labels))
    if job.ready:
        _draw_result(job)
    elif not job.paused:
        st.error("None of the pictures could be used: choose others.", icon=":material/error:")


def _show(job: PicturesJob) -> None:
    state.of(PicturesPage).show(job)
    st.rerun()


def _draw_result(job: PicturesJob) -> None:
    """Draw the verdict on the models, its chart and table, the pictures, and what can be done with all of these."""
    result = finished.read(job.ready)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="top"):
        left = st.container(key="pictures-verdict")
        beside = st.container(width=440, key="pictures-beside")
        look: dict[str, Any] = {"horizontal_alignment": "right", "vertical_alignment": "center"}
        right = beside.container(horizontal=True, key="pictures-acts", **look)
    with left:
        heading = st.container()
        # What is drawn, saved and exported below is of the chosen models and gap.
        if result.decision is not None:
            result = replace(result, decision=_choose_decision(result.decision))
        title, words = finished.describe(result)
        # In words what the chart beside it shows.
        heading.markdown(f"## {escape(title)}", help=escape(result.decision.comparison) if result.decision else None)
        if words:
            st.markdown(escape(words))
        if result.left_out and result.decision is None:
            st.caption(escape(result.left_out))
    if result.decision is not None:
        with beside:
            _draw_scores(result.decision)
    with right:
        if not job.example and any(report.evaluation.corrected for report in result.reports if report is not None):
            undo = partial(grid.correct, job, None)
            st.button("Undo", icon=":material/undo:", type="tertiary", key="pictures-undo", help=UNDO, on_click=undo)
        saving.make_deck("pictures", job.source.name, lambda: run_slides.make_deck(result, job.open_picture))
    if len(result.plans) > 1 or any(result.reports) or any(result.fits):
        against = result.decision.reference.model if result.decision is not None else result.names[0]
        rows = finished.list_models(result, result.names.index(against))
        tables.table(rows, right=[*rows[0]][1:], help=finished.MEANINGS)
    model = grid.draw(job, result)
    with right:
        _draw_export(job, result, model)


def _draw_scores(decision: Decision) -> None:
    """Draw each model's score, and the difference of the compared ones, with their intervals."""
    gap = decision.gap(decision.compared, decision.reference)
    lead = gap.turned
    text = f"{signed(100 * lead.value, '.1f')} (allowed: {signed(-100 * decision.tolerance, 'g')})"
    charts.draw_intervals(run_slides.list_bars(decision))
    names = f"{decision.compared.model} \N{MINUS SIGN}\n{decision.reference.model}"
    charts.draw_intervals([ScoreBar(names, text, lead.value, *lead.ends)], (0.0, -decision.tolerance))


def _choose_decision(decision: Decision) -> Decision:
    """Draw the choice of models and of the allowed gap; return the decision on them."""
    names = {row.model: row.model for row in decision.rows}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):

        def choose(label: str, options: Mapping[str, str], first: str, name: str) -> str:
            key = f"pictures-{name}-{'-'.join(names)}"
            return url_state.widget(st.selectbox, label, options, first, key=key, name=name, width=210)

        all_models = {"": f"All {len(names)} models"} if decision.candidate is None else {}
        first = decision.candidate.model if decision.candidate else ""
        candidate = choose("Model", all_models | names, first, "candidate")
        against = ""
        if candidate:
            others = {name: name for name in names if name != candidate}
            against = choose("Instead of", others, decision.choose(candidate).reference.model, "against")
        limits: dict[str, Any] = {"min_value": 0.1, "max_value": 100.0, "step": 0.5, "format": "%.1f", "width": 130}
        limits |= {"key": "pictures-tolerance", "name": "tolerance", "read": float}
        tolerance = url_state.widget(st.number_input, "Allowed gap", None, 100 * TOLERANCE, **limits)
    return decision.choose(candidate, against, tolerance / 100)


def _draw_export(job: PicturesJob, result: Result, model: int) -> None:
    """Draw the menu of files; each is made on request. `model`: index of the model whose table and labels they are."""
    offers: list[Offer] = []
    if (decision := result.decision) is not None:
        offers += [
            ("Decision, .json", "decision.json", lambda: to_json(decision.summarise(), ensure_ascii=False)),
            ("Right or wrong by each model, .csv", "objects.csv", lambda: write_csv(list_objects(decision.rows))),
        ]
    owner = f" of {result.names[model]}" if len(result.plans) > 1 else ""
    if run_charts.has_charts(result, model):
        report_of = partial(run_report.html, result, model, job.source.name)
        offers.append((f"Charts{owner}, .html", "charts.html", report_of))
    if not job.example:
        folder = result.plans[model].folder
        offers.append((f"Table{owner}, .csv", table.CSV, (folder / table.CSV).read_bytes))
        if (report := result.reports[model]) is not None:
            ending = "json" if kind_of(report.evaluation.task).counts_objects else "csv"
            offers.append((f"Labels, .{ending}", f"labels.{ending}", partial(relabel.export_labels, folder)))
    with st.popover("Export", icon=":material/download:", key="pictures-export"):
        for label, file, make in offers:
            charts.download(label, make, file, type="tertiary", key=f"pictures-get-{file}")


pictures()
