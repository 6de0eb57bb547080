"""WebSocket for camera frames (`/api/live`).

At most one frame of a viewer waits, and a newer one replaces it; none is explained while an answer is being sent, so
nothing grows however fast one side is. `sightglass.video.live` has the format.
"""

import asyncio
import contextlib
import logging
import time

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightglass.api.service import load_explainer
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.common.files.packing import pack_data
from sightglass.common.settings import settings
from sightglass.explain.tasks import task_of
from sightglass.models.checkpoints import weights
from sightglass.video.frames import FrameExplainer
from sightglass.video.live import (
    BadMessage,
    Grids,
    LiveExplainer,
    Message,
    choose,
    executor_for,
    parse_frame,
    parse_message,
)

LOGGER = logging.getLogger(__name__)
BROKE = "This frame could not be explained because of a bug: choose another model or method."
MAX_VIEWERS = 16
"""Open connections at a time; one thread serves all of them in turn."""
VIEWERS: "set[_Session]" = set()
"""Sessions that are open."""
BAD, FULL, BROKEN = 1008, 1013, 1011
"""Codes of a closed socket: an invalid message, too many viewers, a bug."""
router = APIRouter()


@router.websocket("/api/live")
async def live(socket: WebSocket) -> None:
    """Serve one viewer until it leaves."""
    await socket.accept()
    if len(VIEWERS) >= MAX_VIEWERS:
        await _refuse(socket, FULL, f"{MAX_VIEWERS} viewers are watching already: try again when one has left.")
        return
    session = _Session(socket)
    VIEWERS.add(session)
    try:
        await session.run()
    except BadMessage as problem:
        await _refuse(socket, BAD, str(problem))
    except WebSocketDisconnect:
        pass
    except Exception:
        LOGGER.exception("a viewer's session failed")
        await _refuse(socket, BROKEN, "The server had a problem with this connection: reload the page.")
    finally:
        VIEWERS.discard(session)


async def _refuse(socket: WebSocket, code: int, sentence: str) -> None:
    """Send a problem and close the connection."""
    # The other side may be gone already.
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_json({"type": "problem", "sentence": sentence, "fatal": True})
        await socket.close(code)


class _Session:
    """One viewer: reads its messages, and answers the latest frame."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.dropped = 0
        """Frames that a later one replaced while they waited."""
        self.waiting: tuple[int, bytes, float] | None = None
        """The waiting frame: its number, its JPEG and when it came."""
        self.explainer: LiveExplainer | None = None
        """None while a model is loaded: frames wait."""
        self.changed = asyncio.Event()
        self.choosing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        tasks = [asyncio.create_task(work()) for work in (self._read, self._explain)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Not together: what stands for several loses the reason of a cancellation, which anyio looks for.
            for pending in (*tasks, self.choosing):
                if pending is not None:
                    pending.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await pending

    async def _explain(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.changed.wait()
            self.changed.clear()
            if self.explainer is None:
                continue
            executor = executor_for(self.explainer.frames.loaded)
            # While an answer is being sent, later frames replace the one that waits.
            if (result := await loop.run_in_executor(executor, self.serve)) is not None:
                await self.socket.send_bytes(result)

    def offer(self, number: int, data: bytes) -> None:
        """Replace the waiting frame."""
        self.dropped += self.waiting is not None
        self.waiting = (number, data, time.perf_counter())
        self.changed.set()

    def serve(self) -> bytes | None:
        """Return the packed answer to the waiting frame, if any, in the executor's thread."""
        waiting, explainer = self.waiting, self.explainer
        if waiting is None or explainer is None:
            return None
        self.waiting, (number, data, received) = None, waiting
        answer: Json = {"n": number, "problem": "", "dropped": self.dropped}
        waited = (time.perf_counter() - received) * 1e3
        grids: Grids = ()
        try:
            fields, grids = explainer.explain(data)
            answer |= fields
        except Problem as error:
            answer["problem"] = str(error)
        except Exception:
            LOGGER.exception("a frame failed")
            answer["problem"] = BROKE
        answer["ms"] = {name: round(ms, 2) for name, ms in ({"wait": waited} | answer.get("ms", {})).items()}
        # Little-endian, as `browser/unpack.js` reads them.
        return pack_data(answer, [grid.astype("<u2").tobytes() for grid in grids])

    def switch(self, explainer: LiveExplainer | None) -> None:
        """Change the model from the next frame on; None: wait."""
        self.explainer = explainer
        self.changed.set()

    async def _read(self) -> None:
        while True:
            event = await self.socket.receive()
            if event["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(event.get("code", 1000))
            if (data := event.get("bytes")) is not None:
                self.offer(*parse_frame(data))
            else:
                self._handle(parse_message(event.get("text") or ""))

    def _handle(self, message: Message) -> None:
        if message.type == "choose":
            # A model that loads slowly does not replace a later one.
            if self.choosing is not None:
                self.choosing.cancel()
            self.choosing = asyncio.create_task(self._choose(message))
        # A pin that comes while a model is loaded is of the model before.
        elif self.explainer is not None:
            classes = len(self.explainer.frames.loaded.adapter.labels)
            if message.pin is not None and message.pin.index >= classes:
                raise BadMessage(f"pin names a class by its index, 0 to {classes - 1}, or is null.")
            self.explainer.requested_pin = message.pin

    async def _choose(self, message: Message) -> None:
        """Load a model for the next frames; frames wait meanwhile."""
        self.switch(None)
        try:
            chosen = await run_in_threadpool(_load, message)
        except Exception as error:
            sentence = str(error)
            if not isinstance(error, Problem):
                LOGGER.exception("a model could not be used for frames")
                sentence = "This model cannot be used here because of a bug: choose another."
            await self.socket.send_json({"type": "problem", "sentence": sentence, "fatal": False})
            return
        self.switch(LiveExplainer(chosen))
        spec, adapter = chosen.explainer.model, chosen.loaded.adapter
        about = {"model": spec.id, "name": spec.name, "method": chosen.method.id, "labels": list(adapter.labels)}
        await self.socket.send_json({"type": "ready", **about, "detects": task_of(adapter).explains("detection")})


def _load(message: Message) -> FrameExplainer:
    """Load a model, its method and options; download nothing."""
    with weights.no_downloads():
        return choose(load_explainer(message.model or settings().api_model), message.method, message.options or {})
