"""Make the view of a record, without its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import without_emphasis
from sightglass.explain.tasks import task_of
from sightglass.models.catalog import catalog
from sightglass.report import charts, command
from sightglass.report.caption import label_ends
from sightglass.report.view import MAX_CHECKS, Picture
from sightglass.report.views import answer_title, display_of, list_answers, list_boxes, new_view, place_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.picture.image import Image
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.records import MapInfo, Record
    from sightglass.report.view import Map, View


def record_view(record: Record, image: Image, maps: Sequence[Heatmap], proof: Proof | None = None) -> View:
    """Return the view of a record of the history as it was saved; `proof`: of its selected map."""
    task, spec = task_of(record.task), catalog().get(record.model)
    info, item = (record.maps[record.index], maps[record.index]) if record.index < len(maps) else (None, None)
    picture = Picture.of(
        image,
        spec.name if spec else record.model,
        map=None if info is None or item is None else _map(record, info, item),
        answers=list_answers(task, record.predictions),
        boxes=list_boxes(task, record.predictions, info.boxes if info else (), (record.width, record.height)),
    )
    title, rest = record.title_and_rest
    method = METHODS[record.method].name if record.method in METHODS else record.method
    return new_view(
        [picture],
        title=answer_title(task, record.predictions, title),
        sentence=proof.sentence if proof else without_emphasis((info.looks if info else "") or rest),
        notes="\n".join((record.note, *(finding.text for finding in record.findings))).strip(),
        charts=(charts.describe_proof(proof),) if proof else (),
        display=display_of(record.view.settings),
        commands=(command.line(record.recipe),) if record.recipe else (),
        made=" · ".join(filter(None, (picture.name, method))),
        day=record.created.date().isoformat(),
    )


def _map(record: Record, info: MapInfo, item: Heatmap) -> Map:
    checks, sure = record.checks_of(record.index), task_of(record.task).sure
    low, high = label_ends(item.ends, info.unit) if item.signed else ("0", "1")
    return place_map(
        info.label,
        item.content,
        item.geometry,
        item.kind,
        info.score if sure else None,
        cells=item.cells,
        checks="" if checks is None else checks.line[:MAX_CHECKS],
        ends=(low, "0" if item.signed else "0.5", high),
    )
