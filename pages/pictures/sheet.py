"""The sheet of pictures and labels: drop field, what labels count as, unreadable files, earlier runs."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.batch import finished, labels, run_store, table, uploads
from sightglass.batch.labels import LabelCoverage, LabelMatch
from sightglass.batch.run_store import RunFacts
from sightglass.common.errors import UnclearLabels
from sightglass.common.settings import settings
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.label_files import options
from sightglass.explain import Explainer
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import folder_of
from sightglass.explain.tasks import Task
from sightglass.pages.pictures import job as jobs
from sightglass.pages.pictures.job import PicturesJob, PicturesPage
from sightglass.ui.choices import controls
from sightglass.ui.saving import format_time
from sightglass.ui.session import page, state, visitor
from sightglass.ui.session.markdown import escape, sentence
from sightglass.ui.session.state import Choices, upload_megabytes
from sightglass.ui.streamlit_internals import remove_upload
from sightglass.ui.views import tables

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

HELP = (
    "Pictures, a folder, or a .zip of up to 2 GB, whose class folders are labels. Labels: a table or .json with files "
    "and labels, or with corners of boxes, COCO, YOLO .txt with data.yaml, VOC .xml, or masks as .png in a .zip. "
    f"They are kept on this server with their run, the {uploads.MAX_UPLOADS} newest."
)


NAMES_HELP = f"The file that names the classes, where several disagree. On the command line: {options.ask('names')}."
LABELS_AS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "names": ("File with the names of classes", {}),
    "decimal": ("1,024 is", {"comma": "1.024", "point": "1024"}),
    "box": (
        "Numbers of a box",
        {
            "xyxy": "Two corners",
            "yxyx": "Two corners, y first",
            "xywh": "Corner and size",
            "cxcywh": "Middle and size",
        },
    ),
    "sizes": (
        "Pictures of another size than stated",
        {
            "picture": "Boxes are in pixels of the picture",
            "stretch": "They were stretched",
            "letterbox": "They were put into borders",
        },
    ),
    "exif": (
        "Pictures that a camera turned",
        {"turned": "Boxes are of the picture as shown", "stored": "Boxes are of the picture as stored"},
    ),
}
"""By option of `LabelOptions`: the title of its control, and its values in words; none: any text."""


def draw(remembered: PicturesPage, task: Task, matches: Sequence[LabelMatch], explainer: Explainer) -> None:
    """Draw the drop field, the labels' classes, unreadable files and earlier runs."""
    if remembered.job is not None or remembered.source is not None:
        draw_drop(task)
        page.say_problem()
    if (coverage := find_coverage(remembered, explainer)) is not None and coverage.details:
        st.caption(escape(coverage.details))
    if matches:
        _draw_matches(remembered, matches, explainer)
    if remembered.truth is not None and (problems := remembered.truth.problems):
        st.caption(f":material/warning: {plural(len(problems), 'line')} of the labels could not be used.")
        lines = [{"file": line.file, "line": line.line, "why": line.reason} for line in problems[:1000]]
        tables.table(lines, height=160)
    results = (remembered.job.result if remembered.job is not None else None) or ()
    if failed := {name: why for summary in results for name, why in summary.failed}:
        st.caption(f":material/broken_image: {plural(len(failed), 'file')} could not be read.")
        tables.table([{"picture": name, "why": why} for name, why in [*failed.items()][:1000]], height=160)
    _draw_earlier(remembered)


def _draw_earlier(remembered: PicturesPage) -> None:
    """Draw the earlier runs, and say which cannot be read."""
    runs = jobs.list_earlier()
    problems = run_store.list_unreadable(settings().batches)
    if runs or problems:
        st.markdown("**Earlier runs**")
    for why in problems.values():
        st.warning(sentence(why), icon=":material/warning:")
    for facts in runs:
        with page.report_problems():
            _draw_run(remembered, facts)


def draw_drop(task: Task, *, inline: bool = False) -> None:
    """Draw the drop field, empty again once its files were taken; `inline`: on one line, without folders."""
    remembered = state.of(PicturesPage)
    key = f"pictures-drop-{remembered.drops}-{remembered.by_folder}"

    def change() -> None:
        # Called again before the window knows of the new field, it has only the ids of removed files.
        files: list[UploadedFile] = [file for file in st.session_state.get(key) or () if hasattr(file, "getbuffer")]
        if files:
            remembered.drops += 1
            _receive([(file.name, file.getbuffer()) for file in files], task)
            for file in files:
                remove_upload(file.file_id)

    st.file_uploader(
        "Drop a folder, .zip, pictures or labels",
        accept_multiple_files="directory" if remembered.by_folder else True,
        key=key,
        max_upload_size=upload_megabytes(uploads.MAX_BYTES >> 20),
        on_change=change,
        label_visibility="collapsed" if inline else "visible",
        width=430 if inline else "stretch",
        help=HELP,
    )
    if remembered.asked or remembered.truth is not None:
        _draw_labels_as(remembered)
    if remembered.truth is not None and remembered.source is None:
        st.caption("The labels are here: now drop their pictures.")
    if not inline:
        help = "A click on the field then chooses a folder, whose class folders are labels."
        folder = st.toggle("Choose a folder", remembered.by_folder, key="pictures-drop-folder", help=help)
        if folder != remembered.by_folder:
            remembered.by_folder = folder
            st.rerun()


def _draw_labels_as(remembered: PicturesPage) -> None:
    """Draw the choice of how labels are read that can be read in several ways."""
    chosen: dict[str, str] = {}
    with st.popover("Read labels as", icon=":material/rule:", key="pictures-labels-as"):
        st.caption("Drop the labels again after a change.")
        for name, (title, words) in LABELS_AS.items():
            key, before = f"pictures-labels-as-{name}", getattr(remembered.labels_as, name)
            if not words:
                chosen[name] = st.text_input(title, before, key=key, placeholder="as the files say", help=NAMES_HELP)
                continue
            values = ["", *options.CHOICES[name]]
            show = partial(_say_how, words)
            help = f"On the command line: {options.ask_which(name)}."
            look: dict[str, Any] = {"index": values.index(before), "format_func": show, "help": help}
            chosen[name] = st.selectbox(title, values, key=key, **look)
    remembered.labels_as = options.LabelOptions(**chosen)


def _say_how(words: Mapping[str, str], value: str) -> str:
    return words.get(value, "As the files say")


@page.keeping_problem()
def _receive(files: list[uploads.File], task: Task) -> None:
    """Receive files: pictures replace what is shown, labels are held against it."""
    remembered = state.of(PicturesPage)
    waiting = remembered.truth if remembered.source is None else None
    how: Any = {"owner": visitor.owner(), "labels_as": remembered.labels_as}
    try:
        pictures, truth = uploads.read_uploads(files, task, remembered.source, waiting, **how)
    except UnclearLabels as problem:
        remembered.asked = True
        raise UnclearLabels(options.say_on_page(str(problem))) from problem
    if pictures is not None:
        remembered.show(None)
        remembered.source, remembered.truth, remembered.matches = pictures, truth, {}
    elif truth is not None and (job := remembered.job) is not None and not job.example:
        kind_of(controls.load(job.plans[0].model).model).check(truth, [item.key for item in job.source.items])
        remembered.show(PicturesJob(job.source, job.plans, labels=truth))
    elif truth is not None:
        remembered.truth = truth


def match_labels(remembered: PicturesPage, explainer: Explainer, choices: Choices) -> list[LabelMatch]:
    """Return the labels of the shown pictures with their classes, unmatched ones first; none before a run's end."""
    if (job := remembered.job) is not None:
        if job.example or not job.finished() or not job.ready:
            return []
        folder = job.ready[0].folder
        return state.latest("pictures-matches", finished.stamp(folder), partial(labels.match_run, folder))
    kind, known = kind_of(explainer.model), choices.options.get("vocabulary") or explainer.labels
    if not (known and kind.names_classes):
        return []
    items = remembered.source.items if remembered.source is not None and kind.by_folders else ()
    truth = remembered.truth or labels.label_by_folders(items)
    return labels.list_names(truth, known, keep_known(remembered.matches, known))


def find_coverage(remembered: PicturesPage, explainer: Explainer) -> LabelCoverage | None:
    """Return how the labels fit the shown pictures; None without labels, and of a run before its end."""
    if (job := remembered.job) is not None:
        if job.example or not job.finished() or not job.ready or not job.source.items:
            return None
        folder, items = job.ready[0].folder, job.source.items
        truth, kind = labels.read_labels(folder), kind_of(table.read_scores(folder).task)
        depends: tuple[Hashable, ...] = finished.stamp(folder)
    elif remembered.source is not None:
        items, truth, kind = remembered.source.items, remembered.truth, kind_of(explainer.model)
        depends = (remembered.source.path, id(truth), explainer.model.task)
    else:
        return None

    def describe() -> LabelCoverage | None:
        counted = truth or labels.label_by_folders(items if kind.by_folders else ())
        if not (truth or counted.picture_labels):
            return None
        return labels.describe_coverage(counted, kind, [item.key for item in items], folder_of(items))

    return state.latest("pictures-coverage", depends, describe)


def keep_known(matches: Mapping[str, tuple[str, ...]], known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return what labels count as, of those whose classes a model knows."""
    classes = {*known}
    return {name: named for name, named in matches.items() if classes.issuperset(named)}


def _draw_matches(remembered: PicturesPage, matches: Sequence[LabelMatch], explainer: Explainer) -> None:
    """Draw the labels without a class with a guess, and the choice of what one counts as."""
    job = remembered.job
    plan = next(iter(job.ready), None) if job is not None else None
    known = sorted({*(table.read_scores(plan.folder).classes if plan is not None else explainer.labels)})
    unmatched = [match for match in matches if not match.classes]
    if unmatched:
        rows = [{"label": each.label, "pictures": each.pictures, "guess": each.suggestion or ""} for each in unmatched]
        st.caption(f"{plural(len(unmatched), 'label')} without a class of this model: not counted.")
        tables.table(rows, height=min(200, 36 * (len(rows) + 1)))
    by_name = {match.label: match for match in matches}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Label", list(by_name), key="pictures-match", width=180)
        match = by_name[name]
        named = st.multiselect(
            "Counts as",
            known,
            default=[each for each in match.classes or filter(None, [match.suggestion]) if each in known],
            # Another key for each label: its own classes are shown first.
            key=f"pictures-match-{name}",
            width=220,
            placeholder="no class: not counted",
            # Enter takes the first match, and not all of them.
            select_all=False,
        )
        if st.button("Count it so", disabled=set(named) == set(match.classes), key="pictures-match-use"):
            if job is None:
                remembered.matches[name] = tuple(named)
            else:
                remembered.show(jobs.correct(job, name, named))
            st.rerun()


def _draw_run(remembered: PicturesPage, facts: RunFacts) -> None:
    """Draw a run's line; open, continue or delete it."""
    models = (finished.name_of(plan.model) for plan in facts.plans)
    about = f"{', '.join(models)}, {plural(facts.pictures, 'picture')}, {format_time(facts.started)}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape(facts.name)}**  \n:small[{escape(about)}]")
        if st.button(
            "Open" if run_store.is_finished(facts) else "Continue", key=f"pictures-earlier-{facts.folder.name}"
        ):
            remembered.source = remembered.truth = None
            remembered.show(jobs.reopen(facts))
            st.rerun()
        key, icon = f"pictures-delete-{facts.folder.name}", ":material/delete:"
        if st.button("", icon=icon, type="tertiary", key=key, help="Delete"):
            if remembered.job is not None and remembered.job.plans[0].folder == facts.folder:
                remembered.job.cancel.set()
                remembered.show(None)
            jobs.delete(facts)
            st.rerun()
