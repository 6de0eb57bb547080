"""Drop zone for own models, questions about them, and the card of an added one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Cancelled, ModelProblem, Problem
from sightglass.common.left_out import describe_left_out
from sightglass.explain.phrases import plain_text, plural
from sightglass.explain.tasks import TASKS, describe_score, task_of
from sightglass.explain.trust import preprocessing_check
from sightglass.explain.trust.diagnosis import describe
from sightglass.explain.trust.preprocessing_check import Reading
from sightglass.models import catalog, isolated, own
from sightglass.models.checkpoints.architectures import is_own_class
from sightglass.models.load import TRUST, TableDraft, Unknown
from sightglass.models.own import adding, store
from sightglass.models.own.store import describe_model
from sightglass.ui.choices import controls, model_picker
from sightglass.ui.instruments import instruments, numbers_of
from sightglass.ui.session import page, reopen, state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape, without_keys
from sightglass.ui.session.state import Choices
from sightglass.ui.streamlit_internals import remove_upload
from sightglass.ui.viewer import Pane
from sightglass.ui.views import panels
from sightglass.ui.widgets import HIGHLIGHT_HELP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain import Explainer, Image
    from sightglass.models.spec import ModelSpec

Files = list[tuple[str, "store.Data"]]
"""Names and contents."""
HELP = (
    "PyTorch (.pth, .pt, .ckpt, .safetensors), ONNX, TorchScript or Keras. "
    "A folder of Transformers or timm goes in as a .zip. Drop class names (.txt, .csv, .json, data.yaml), a "
    "configuration or the network's .py along with it."
)


@dataclass
class Adding(state.Kept):
    """What this session is adding."""

    generation: int = 0
    """Counts the drop zones: each takes the files of one model."""
    folder: Path | None = None
    """Received files whose model is not added yet."""
    draft: TableDraft | None = None
    answers: adding.Answers = field(default_factory=dict)
    id: str = ""
    """The model that was added last."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Its files that are not used, with the reasons."""


def draw() -> None:
    """Draw the drop zone, or the questions about its files."""
    now = state.of(Adding)
    page.say_problem()
    # A question may have been answered elsewhere.
    if now.folder is not None and (not now.folder.is_dir() or now.folder.name in store.tables()):
        now.folder = now.draft = None
    if now.draft is not None:
        _ask(now.draft)
    else:
        _draw_drop_zone(now)


def added() -> ModelSpec | None:
    """Return this session's last added model, if still present."""
    spec = catalog.catalog().get(state.of(Adding).id)
    return spec if spec is not None and spec in store.list_own() else None


def show(model_id: str) -> None:
    """Show the card of an added model, or none."""
    now = state.of(Adding)
    now.id = model_id
    now.left_out = {}


def _draw_drop_zone(now: Adding) -> None:
    isolated.warm_up()
    files = st.file_uploader(
        "Drop your own model here: its file, and those that belong to it",
        accept_multiple_files=True,
        key=f"models-drop-{now.generation}",
        max_upload_size=state.upload_megabytes(own.upload_megabytes()),
        help=HELP,
    )
    navigation = state.of(state.Navigation)
    received: Files = [(file.name, file.getbuffer()) for file in files] or [*navigation.model_files]
    navigation.model_files = []
    if received:
        with st.spinner(f"Looking at {escape(received[0][0])}…", show_time=False):
            _receive(received)
        for file in files:
            remove_upload(file.file_id)
        st.rerun()


def _receive(files: Files) -> None:
    """Receive files; add their model unless there are questions."""
    now = state.of(Adding)
    now.generation, now.id, now.answers = now.generation + 1, "", {}
    now.left_out = {}
    try:
        now.folder = store.receive(files, now.left_out)
        if same := store.find_same(now.folder):
            now.id = same
            raise ModelProblem(f"{files[0][0]} is your model {same}, byte for byte: it stays one model.")
        now.draft = store.draft(now.folder)
        if not (adding.fill(now.draft, {})[1] or store.runs_code(now.draft, {})):
            _register()
    except Exception as failure:
        problem = page.describe_failure(failure, "a model could not be added")
        state.of(page.PageRun).problem = " ".join(filter(None, (problem, describe_left_out(now.left_out))))
        _discard()


def _register() -> None:
    """Add and load the model; remove it again if loading fails."""
    now = state.of(Adding)
    assert now.folder is not None and now.draft is not None
    model_id = store.register(now.folder, now.draft, now.answers)
    model_picker.forget_menu()
    try:
        with store.without_paths():
            controls.load(model_id)
    except BaseException:
        # Its files stay, for other answers.
        store.withdraw(model_id)
        model_picker.forget_menu()
        raise
    now.id, now.folder, now.draft = model_id, None, None
    # Other pages show it too.
    reopen.choose_model(catalog.spec(model_id))


def _discard() -> None:
    now = state.of(Adding)
    if now.folder is not None:
        store.discard(now.folder)
    now.folder, now.draft = None, None


def _ask(draft: TableDraft) -> None:
    """Ask for facts missing from the files."""
    now = state.of(Adding)
    assert now.folder is not None
    st.markdown(f"### {escape(store.find_model(now.folder).name)}")
    for note in (*draft.notes, *_say_left_out(now)):
        st.caption(escape(note))
    unanswered = [unknown for unknown in adding.fill(draft, now.answers)[1] if unknown.key != TRUST]
    answers = {unknown.key: answer for unknown in unanswered if (answer := _ask_one(unknown))}
    arch, runs = answers.get("arch", draft.arch), store.runs_code(draft, answers)
    refusal = store.code_refusal() if runs else ""
    if runs:
        name = Path(arch.rpartition(":")[0]).name if is_own_class(arch) else "This file"
        words = f"{name} runs code on this machine. Go on only if you trust who made it."
        st.warning(refusal or words, icon=":material/gpp_maybe:")
    with st.container(horizontal=True):
        label, disabled = "Trust it and add" if runs else "Add", len(answers) < len(unanswered) or bool(refusal)
        help = "Load the model and explain the chosen picture with it."
        clicked = st.button(label, type="primary", disabled=disabled, help=help)
        st.button("Discard", on_click=_discard, help="Delete these files from the server; nothing is added.")
    if clicked:
        with st.spinner("Loading the model…", show_time=False):
            _take_answers(answers, trusted=runs)
        st.rerun()


def _say_left_out(now: Adding) -> list[str]:
    """Return the unused files of the added model as a sentence, or nothing."""
    return [describe_left_out(now.left_out)] if now.left_out else []


def _ask_one(unknown: Unknown) -> str:
    """Draw one question; return its answer, empty without one."""
    key, help = f"models-{unknown.key}", "The file does not say it."
    if not unknown.choices:
        return st.text_input(unknown.question, key=key, help=help)

    def without_folder(choice: str) -> str:
        file, _, name = choice.rpartition(":")
        return f"{Path(file).name}, class {name}" if is_own_class(choice) else choice

    chosen = st.selectbox(
        unknown.question,
        unknown.choices,
        index=0 if is_own_class(unknown.choices[0]) else None,
        format_func=without_folder,
        accept_new_options=unknown.key == "arch",
        key=key,
        help="Choose one, or type another name." if unknown.key == "arch" else help,
    )
    return chosen or ""


def _take_answers(answers: dict[str, str], *, trusted: bool) -> None:
    """Read the files with the answers; add the model unless these raise further questions."""
    now = state.of(Adding)
    assert now.folder is not None and now.draft is not None
    try:
        arch = answers.get("arch", "")
        if is_own_class(arch):
            # A name that was typed is of a file that was dropped.
            file, _, name = arch.rpartition(":")
            arch = answers["arch"] = f"{now.folder / Path(file).name}:{name}"
        if arch:
            now.draft = store.draft(now.folder, arch)
        now.answers |= {key: text if key in adding.TEXTS else adding.parse_value(text) for key, text in answers.items()}
        now.answers |= {TRUST: "yes"} if trusted else {}
        if not adding.fill(now.draft, now.answers)[1]:
            _register()
    except Exception as failure:
        state.of(page.PageRun).problem = page.describe_failure(failure, "a model could not be added")


READING_WIDTH = 132
"""Pixels of a picture that shows one way of preparing it."""
FITS: Mapping[str, tuple[str, str, str, Callable[..., tuple[Reading, ...]]]] = {
    "fit": (
        "How pictures are prepared",
        ":material/crop:",
        "All likely ways give the same first answer here. Where two look alike, the words say what differs.",
        preprocessing_check.readings,
    ),
    "size": (
        "Size of its pictures",
        ":material/aspect_ratio:",
        "All sizes that it takes give the same first answer here.",
        preprocessing_check.read_sizes,
    ),
}
"""By key what of the preparation can be chosen: title, icon, what is said where nothing changes, and what reads it."""
MEANINGS = {name: task.meaning_of_row for name, task in TASKS.items() if task.meaning_of_row}
"""What an answer of one row of numbers may be."""


def draw_card(spec: ModelSpec, image: Image) -> None:
    """Draw the card, with the chosen picture explained by the model."""
    with st.container(border=True):
        explainer = controls.load(spec.id)
        st.markdown(f"### {escape(spec.id)}: {escape(describe_model(explainer.loaded.adapter))}")
        left, right = st.columns([3, 2], gap="medium")
        with right, st.container(horizontal=True):
            go: dict[str, Any] = {"icon": ":material/open_in_new:", "on_click": open_model, "args": (spec,)}
            help = "The same picture there, with everything that can be asked of the map."
            st.button("Open in Explore", type="primary", help=help, **go)
            st.button("Done", on_click=show, args=("",), help="Put this card away; the model stays in the list.")
        with left:
            _draw_map(spec, explainer, image)
        with right:
            _draw_meaning(spec, explainer)
            _draw_preprocessing(spec, explainer, image)
            for note in (*explainer.loaded.adapter.notes, *_say_left_out(state.of(Adding))):
                st.caption(escape(without_keys(note)))


def open_model(spec: ModelSpec) -> None:
    """Choose a model and go to Explore in the next run."""
    reopen.choose_model(spec)
    reopen.open_explore()


def _draw_map(spec: ModelSpec, explainer: Explainer, image: Image) -> None:
    """Draw the picture's map; without layers, first the answer."""
    choices = Choices(image, spec, explainer.loaded.usual_method(), {})
    options = {} if explainer.loaded.gradients else task_of(spec).blind
    try:
        explanation = explain_job.explain(choices, explainer, wait=explainer.loaded.adapter.takes_prompt, **options)
    except Cancelled:
        explanation = None
    if explanation is None:
        explanation = explain_job.predict(choices, explainer)
    st.markdown(f"**{escape(plain_text(describe(explanation, HIGHLIGHT_HELP).headline))}**")
    panes = [Pane(maps=(panels.to_map(explanation, 0),))] if explanation.heatmaps else [panels.plain_pane(image)]
    view = panels.draw_viewer(image, panes, key="viewer-models", height=360)
    if explanation.heatmaps:
        instruments(view, [numbers_of(explanation, 0)])


def _draw_meaning(spec: ModelSpec, explainer: Explainer) -> None:
    """Ask for the meaning and names of the outputs."""
    labels, measures = explainer.labels, task_of(spec).quantity == "number"
    unnamed = not spec.weights.unit if measures else bool(labels) and labels[0] == "class 0"
    with st.expander("Names and meaning", icon=":material/label:", expanded=unnamed):
        if spec.task in MEANINGS:
            tasks, help = list(MEANINGS), "It decides how scores are computed, and what a map is of."
            look: dict[str, Any] = {"format_func": MEANINGS.__getitem__, "key": f"models-task-{spec.id}-{spec.task}"}
            chosen = st.selectbox("Its answer is", tasks, index=tasks.index(spec.task), help=help, **look)
            if chosen != spec.task:
                _change(spec, {"task": chosen})
        if not labels:
            return
        unit = f", {spec.weights.unit}" if measures and spec.weights.unit else ""
        listed = list(map(adding.line_of, spec.weights.outputs)) or [f"{label}{unit}" for label in labels]
        more = " After a name its unit, least and largest value may follow: yaw, °, -90, 90." if measures else ""
        label, key = f"{plural(len(labels), 'name')}, one a line", f"models-names-{spec.id}-{spec.task}"
        help = f"In the order of the model's outputs.{more}"
        text = st.text_area(label, "\n".join(listed), key=key, height=160, help=help)
        typed = [line.strip() for line in text.splitlines() if line.strip()]
        if st.button("Save names", help="They stand in every headline, list and file from now on."):
            with page.report_problems():
                _change(spec, _read_names(typed, labels, measures=measures))


def _read_names(typed: list[str], labels: Sequence[str], *, measures: bool) -> dict[str, object]:
    """Return the table's values of typed names; raise ModelProblem."""
    if len(typed) != len(labels):
        raise ModelProblem(f"Give {plural(len(labels), 'name')}, one a line: there are {len(typed)}.")
    if len(set(typed)) < len(typed):
        raise ModelProblem("Two of them have the same name: give each its own.")
    if measures and any("," in line for line in typed):
        return {"weights.outputs": list(map(adding.read_line, typed)), "weights.labels": None, "weights.unit": None}
    return {"weights.labels": typed, "weights.outputs": None}


def _draw_preprocessing(spec: ModelSpec, explainer: Explainer, image: Image) -> None:
    """Show the picture in each way and size in which it may have to be prepared, to choose from."""
    for key, (title, icon, alike, read) in FITS.items():
        readings = state.latest(f"models-{key}", (spec, image.sha256), partial(read, explainer.loaded, image))
        _draw_readings(spec, readings, key, title, icon, alike)


def _draw_readings(spec: ModelSpec, readings: Sequence[Reading], key: str, title: str, icon: str, alike: str) -> None:
    """Show answers by what they were prepared with; nothing where there is no choice."""
    if len(readings) < 2:
        return
    # Of numbers there is no first answer that could stay the same.
    numbers = task_of(spec).quantity == "number"
    answers = [describe_score(row.score, spec, row.label) if numbers else row.label for row in readings]
    differ = len(set(answers)) > 1
    with st.expander(title, icon=icon, expanded=differ):
        st.caption("The answer changes with it. Choose what the training did." if differ else alike)
        with st.container(horizontal=True):
            for index, reading in enumerate(readings):
                with st.container(width=READING_WIDTH, gap="xsmall"):
                    _draw_reading(spec, reading, f"models-{key}-{index}", is_own=index == 0)


def _draw_reading(spec: ModelSpec, reading: Reading, key: str, *, is_own: bool) -> None:
    """Show one answer, and the button that takes its preprocessing."""
    words = f"{reading.label} {describe_score(reading.score, spec, reading.label)}"
    st.image(reading.picture, width=READING_WIDTH, alt=f"The picture, {reading.words}: {words}")
    st.markdown(f"**{escape(words)}**  \n{reading.words}")
    help = f"Prepare all pictures so: {reading.preprocessing}."
    if not is_own and st.button("Use this", key=key, help=help):
        table = replace(reading.preprocessing.table(), channels=None, range=None)
        _change(spec, {"weights.preprocessing": table.stated()})


def _change(spec: ModelSpec, values: dict[str, object]) -> None:
    """Change a model's table and load it anew; raise Problem and change nothing where that fails."""
    before = store.tables()[spec.id]
    try:
        store.change(spec.id, values)
        controls.load(spec.id)
    except Problem:
        adding.write(store.table(), spec.id, before, force=True)
        raise
    model_picker.forget_menu()
    st.rerun()
