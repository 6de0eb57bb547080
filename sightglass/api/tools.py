"""Tools for programs that speak the Model Context Protocol: explain, compare, prove, wrong_pictures and replay.

`sightglass mcp` serves them over standard input and output, and every server at /mcp. A tool answers with a picture
and at most MAX_BYTES of JSON, or with one sentence that says what was wrong.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from mcp.server import mcpserver
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from pydantic import Field, ValidationError

from sightglass.api import schemas, service
from sightglass.api.problems import from_exception, from_validation
from sightglass.api.work import WorkQueue
from sightglass.batch import finished, run_store, uploads
from sightglass.common.errors import ImageProblem, ModelProblem, Problem, Unreadable
from sightglass.common.files import Json
from sightglass.common.settings import MIB, settings
from sightglass.evaluation.errors import draw_tile
from sightglass.explain import explainer
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.explanation import Explanation
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture import source
from sightglass.explain.picture.image import Image, example_meant, to_jpeg
from sightglass.explain.questions import Question
from sightglass.explain.recipe import VERSION, Recipe
from sightglass.explain.rendering.marks import contact_sheet
from sightglass.explain.trust.checks import check_maps
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.models.catalog import choose_compared
from sightglass.models.checkpoints import weights
from sightglass.report import charts, result_folder

MAX_BYTES = 1000
MAX_PATH = 4096
"""Letters of a path."""
REPLAYED_BYTES = 512 * MIB
"""Bytes of the pictures that are kept for `replay`."""
TILE = (320, 240)
ABOUT = """Explain what a vision model predicts for a picture, and where it looked. To find out why a model is wrong on
a picture, call wrong_pictures, then explain one with its label as `target` and with its answer."""
to_text = functools.partial(json.dumps, ensure_ascii=False)
Answer = tuple[bytes, Json]
"""A JPEG or a PNG, and the values of the JSON, the least important last."""
PICTURE = "give it as wrong_pictures names it, an example (bus.jpg), base64 or, of `sightglass mcp`, a path."
Picture = Annotated[str, Field(description=f"The picture: {PICTURE}")]
Model = Annotated[str, Field(description="An id of GET /api/models; empty: the default.")]
Target = Annotated[str, Field(description="The class, or a detector's label, whose map is drawn; empty: the best.")]
Asked = Annotated[Question | None, Field(description="why: what speaks for it and against others.")]
Checked = Annotated[bool, Field(description="Test the map in up to 100 passes of the model.")]
Models = Annotated[list[str], Field(description="Ids of models; one: all sizes of its family.")]
Run = Annotated[str, Field(description="A run of the page Pictures, or `example`; empty: the newest.")]
ModelOfRun = Annotated[str, Field(description="One of the run's models; empty: its first.")]
Skip = Annotated[int, Field(ge=0, description="How many of them are left out.")]


class Tools:
    """The tools' work, and the recipes that `replay` finds again; `local`: whether pictures may be paths."""

    def __init__(self, *, local: bool) -> None:
        self.local = local
        self._recipes = ByteCache[tuple[Recipe, Image]](REPLAYED_BYTES, lambda kept: kept[1].pixels.nbytes)

    def explain(
        self, picture: Picture, model: Model = "", target: Target = "", question: Asked = None, checks: Checked = False
    ) -> Answer:
        """Show where a model looked for its best answer or a class, and how sure it was."""
        explanation = self._explain(picture, model, target, question=question)
        service.check_mapped(explanation)
        if checks:
            check_maps(explanation)
        return self._answer(explanation)

    def compare(self, picture: Picture, models: Models, target: Target = "") -> Answer:
        """Show what several models predict for a picture, and whether they look at the same places."""
        ids, names = choose_compared([service.local_model(name).id for name in models or (settings().api_model,)])
        compared = service.compare(ids, names, lambda name: self._explain(picture, name, target), aligned=not target)
        shown = [each.overlay(0) if each.heatmaps else each.image.pixels for each in compared.explanations]
        mapped = [plain_text(" ".join(result_folder.first_answer(each))).strip() for each in compared.explanations]
        sheet = contact_sheet(shown, [f"{name}, map of {label}" for name, label in zip(names, mapped, strict=True)])
        answers = [plain_text(each.task.wording.answer(each)) for each in compared.explanations]
        values: Json = {"verdict": plain_text(compared.verdict), "fastest": compared.fastest, "steady": compared.steady}
        values |= {"maps_of": dict(zip(ids, mapped, strict=True)), "answers": dict(zip(ids, answers, strict=True))}
        return to_jpeg(sheet), values

    def prove(self, picture: Picture, model: Model = "", target: Target = "") -> Answer:
        """Test a map: hide what it shows, and compare with maps that know nothing of the answer."""
        proof = self._explain(picture, model, target).prove()
        values: Json = {"verdict": proof.support.verdict, "sentence": plain_text(proof.sentence), "target": proof.label}
        values |= {"sufficiency": proof.sufficiency, "necessity": proof.necessity}
        return charts.figure(charts.describe_proof(proof)), values

    def wrong_pictures(self, run: Run = "", model: ModelOfRun = "", skip: Skip = 0) -> Answer:
        """List the wrong answers of a model on labelled pictures, the surest first, with their pictures."""
        runs = self._list_runs()
        run = run or next(iter(runs))
        if run not in runs:
            self._check_readable(run)
            raise ModelProblem(f"There is no run {run} here: name one of {', '.join([*runs][:5])}.")
        ids = [plan.model for plan in runs[run].plans]
        if model and model not in ids:
            raise ModelProblem(f"{model} is not in this run: name one of {', '.join(ids)}.")
        report = finished.read(runs[run].plans).reports[ids.index(model or ids[0])]
        if report is None:
            raise Problem("This run has no labels of classes or boxes: drop some on it, or name another run.")
        values: Json = {"headline": report.headline, "wrong": len(report.errors), "pictures": []}
        open_listed, tiles, captions = self._list_pictures(runs[run]), [], []
        for unit in report.errors[skip:]:
            row = {"picture": f"{run}/{unit.picture.key}", "label": unit.label, "answer": unit.predicted}
            rows = [*values["pictures"], row | {"type": unit.type}]
            if values["pictures"] and len(to_text(values | {"pictures": rows}).encode()) > MAX_BYTES:
                break
            values["pictures"] = rows
            tiles.append(draw_tile(open_listed(unit.picture.key).pixels, unit, TILE))
            captions.append(f"{unit.predicted or 'missed'}, labelled {unit.label or 'nothing'}")
        if not tiles:
            raise Problem(f"{report.headline}: there is no wrong answer{f' after the first {skip}' if skip else ''}.")
        return to_jpeg(contact_sheet(tiles, captions, height=TILE[1])), values

    def replay(self, recipe: Annotated[str, Field(description="`recipe` of an earlier answer.")]) -> Answer:
        """Compute an earlier map again, and say whether it is the same to the bit."""
        if (kept := self._recipes.get(recipe)) is None:
            raise ModelProblem(f"There is no recipe {recipe} here: explain the picture again.")
        picture, values = self._answer(explainer.replay(*kept))
        return picture, {"same": values["recipe"] == recipe} | values

    def _explain(self, picture: str, model: str, target: str, **options: Any) -> Explanation:
        load, named = service.load_explainer(model or settings().api_model), {"targets": (target,)} if target else {}
        return load(self._open(picture), **{"top_k": 1} | named | options)

    def _open(self, text: str) -> Image:
        """Return the picture that a client names; raise ImageProblem."""
        run, _, key = text.partition("/")
        if key and (facts := self._list_runs().get(run)) is not None:
            return self._list_pictures(facts)(key)
        if example_meant(text) is not None:
            return Image.open(text)
        if self.local and len(text) < MAX_PATH and (path := _local_path(text)) is not None and path.is_file():
            return Image.open(path)
        try:
            return service.open_picture(schemas.decode_picture(text), None)
        except ValueError:
            raise ImageProblem(f"{text[:80]} is no picture here: {PICTURE}") from None

    def _check_readable(self, run: str) -> None:
        """Raise Unreadable for a run that is here and cannot be read."""
        why = run_store.list_unreadable(settings().batches).get(run)
        if why is not None:
            raise Unreadable(why)

    def _list_runs(self) -> dict[str, run_store.RunFacts]:
        """Return the runs by name, the newest first, and the packaged one."""
        runs = {facts.folder.name: facts for facts in run_store.list_runs(settings().batches)}
        return runs | {"example": run_store.read_example()}

    def _list_pictures(self, facts: run_store.RunFacts) -> Callable[[str], Image]:
        """Return a function that opens a run's picture by its key; it raises ImageProblem for an unknown one."""
        first, *others = facts.source
        # Elsewhere a client must not read folders of this machine.
        items = source.find(facts.source if others else first) if self.local else uploads.open_source(first).items
        return functools.partial(source.open_one, items)

    def _answer(self, explanation: Explanation) -> Answer:
        """Return the first map over the picture and what is known of it, and keep the recipe."""
        saved, digest = explanation.recipe, hashlib.sha256(explanation.heatmaps[0].values.tobytes()).hexdigest()
        recipe = hashlib.sha256(f"{saved.model_dump_json()}{digest}".encode()).hexdigest()[:12]
        self._recipes.put(recipe, (saved, explanation.image))
        said, checks = describe(explanation, "bright"), explanation.known_checks()
        values: Json = {"headline": plain_text(said.headline), "recipe": recipe, "model": explanation.model.id}
        values |= {"map_of": explanation.heatmaps[0].target.label, "where": plain_text(said.slide())}
        values |= {"checks": checks.line if checks else None}
        limits = [plain_text(finding.text) for finding in diagnose(explanation)]
        return to_jpeg(result_folder.one_map(explanation, 0)), values | {"limits": limits[:2]}


def _local_path(text: str) -> Path | None:
    """Return the path that a text names; None of an address elsewhere."""
    is_address = text.lower().startswith("file://")
    path = source.local_path(unquote(text) if is_address else text)
    return None if path is None else path.expanduser()


class Server(mcpserver.MCPServer):
    """A server whose errors are one sentence."""

    async def call_tool(self, name: str, arguments: Json, context: mcpserver.Context[Any, Any] | None = None) -> Any:
        await self._check_names(name, arguments)
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError as error:
            raise ToolError(str(from_exception(error.__cause__ or error))) from None
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            raise ToolError(str(from_validation(error.__cause__.errors()))) from None

    async def _check_names(self, name: str, arguments: Json) -> None:
        """Raise ToolError for an argument that the tool has not, and would ignore."""
        for tool in await self.list_tools():
            known = tuple(tool.input_schema["properties"])
            unknown = [{"type": "extra_forbidden", "loc": (field,)} for field in arguments if field not in known]
            if tool.name == name and unknown:
                raise ToolError(str(from_validation(unknown, known)))


def create_server(queue: WorkQueue, *, local: bool) -> mcpserver.MCPServer:
    """Return a server of the tools, whose work runs in a queue without downloads; `local`: as of Tools."""
    server = Server("sightglass", instructions=ABOUT, version=VERSION, log_level="ERROR")
    tools = Tools(local=local)
    for work in (tools.explain, tools.compare, tools.prove, tools.wrong_pictures, tools.replay):
        server.tool(structured_output=False)(functools.wraps(work)(functools.partial(_answer, queue, work)))
    return server


async def _answer(queue: WorkQueue, work: Callable[..., Answer], /, **arguments: Any) -> tuple[mcpserver.Image, str]:
    """Return a tool's picture, and its JSON without the last values where there are too many."""
    call = functools.partial(weights.no_downloads()(work), **arguments)
    picture, values = await queue.run(call, timeout=settings().api_timeout)
    while len(to_text(values).encode()) > MAX_BYTES:
        values.popitem()
    return mcpserver.Image(data=picture, format="jpeg" if picture[:1] == b"\xff" else "png"), to_text(values)
