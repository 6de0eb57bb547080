"""Use an HTTP service as a detector.

Only the operator's own `models.toml` can name the address: nothing that a visitor sends becomes a request, and
redirects are not followed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import torch
from PIL import Image as Pillow
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.common.legible import legible
from sightglass.models import labels
from sightglass.models.adapters.detector import Detections, Detector
from sightglass.models.families.exported.layouts import Candidates
from sightglass.models.families.exported.loader import as_answered, detections
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.spec import EndpointTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.common.files import Json
    from sightglass.models.adapter import Part, Progress
    from sightglass.models.spec import ModelSpec

SEND = ("multipart", "raw", "json")
FORMATS = {"jpeg": "image/jpeg", "png": "image/png"}
BOXES = ("xyxy", "xywh", "cxcywh")
LISTS = ("predictions", "detections", "results", "objects", "boxes", "data")
"""Possible keys of the list in an answer."""
LABEL = ("label", "class_name", "name", "category", "class", "class_id", "category_id", "index")
SCORE = ("score", "confidence", "conf", "probability")
BOX = ("box", "bbox", "xyxy", "bounding_box", "rectangle")
CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
SIDES = (("x", "y", "width", "height"), ("left", "top", "width", "height"), ("x", "y", "w", "h"))
MAX_BYTES = 4 * 2**20
"""Maximum bytes of an answer."""
MAX_BOXES = 3000
"""Maximum boxes of an answer."""
MAX_CLASSES = 1000
"""Maximum classes that are collected where the operator names none."""
RETRIED = (429, 502, 503, 504)
"""Status codes after which a request is repeated once: a moment of load should not cost hundreds of pictures."""


@dataclass(frozen=True)
class Service(EndpointTable):
    """The operator's `endpoint` table, which asks its service."""

    name: str = ""
    """The model's id, for messages."""

    @classmethod
    def of(cls, spec: ModelSpec) -> Service:
        """Check the operator's table; raise ModelProblem naming the key that is wrong."""
        if spec.endpoint is None:
            raise ModelProblem(f'{spec.id} needs endpoint = {{ url = "http://..." }} in its table of models.toml.')
        made = cls(**asdict(spec.endpoint), name=spec.id)
        if urlsplit(made.url).scheme not in ("http", "https") or not urlsplit(made.url).hostname:
            raise ModelProblem(f"The endpoint of {spec.id} is {made.url!r}: it should begin with http:// or https://.")
        for key, known in (("send", SEND), ("format", tuple(FORMATS)), ("boxes", BOXES)):
            if (value := getattr(made, key)) not in known:
                raise ModelProblem(f"{key} of {spec.id}'s endpoint is {value!r}: use one of {', '.join(known)}.")
        for key, low, high in (("timeout", 0.01, 600), ("at_once", 1, 64), ("size", 32, 4096)):
            if not low <= (value := getattr(made, key)) <= high:
                raise ModelProblem(f"{key} of {spec.id}'s endpoint is {value}: it goes from {low} to {high}.")
        if made.token_env and not os.environ.get(made.token_env):
            raise ModelProblem(f"{spec.id} needs a token in the environment variable {made.token_env}, which is empty.")
        return made

    def request(self, pixels: NDArray[np.uint8]) -> urllib.request.Request:
        """Return a POST of uint8 (h, w, 3) RGB."""
        encoded = io.BytesIO()
        quality = {"quality": 95, "subsampling": 0} if self.format == "jpeg" else {"compress_level": 1}
        Pillow.fromarray(pixels).save(encoded, self.format, **quality)
        body, kind = encoded.getvalue(), FORMATS[self.format]
        if self.send == "json":
            body, kind = json.dumps({self.field: base64.b64encode(body).decode()}).encode(), "application/json"
        elif self.send == "multipart":
            edge = uuid.uuid4().hex
            disposition = f'form-data; name="{self.field}"; filename="picture.{self.format}"'
            head = f"--{edge}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n"
            body, kind = (
                b"".join((head.encode(), body, f"\r\n--{edge}--\r\n".encode())),
                (f"multipart/form-data; boundary={edge}"),
            )
        headers = {"Content-Type": kind, "Accept": "application/json"}
        if self.token_env:
            headers["Authorization"] = f"Bearer {os.environ.get(self.token_env, '')}"
        return urllib.request.Request(self.url, body, headers, method="POST")

    def ask(self, pixels: NDArray[np.uint8]) -> list[tuple[str | int, float, tuple[float, ...]]]:
        """Send uint8 (h, w, 3) and return the service's labels, scores, and boxes xyxy in pixels of what was sent.

        Raises ModelProblem, one sentence, where it cannot be reached, is too slow, or answers anything else.
        """
        request = self.request(pixels)
        for left in (1, 0):
            try:
                answer = self._fetch(request)
                break
            except urllib.error.HTTPError as error:
                error.close()
                if left == 0 or error.code not in RETRIED:
                    raise ModelProblem(f"The service of {self.name} refused a picture: HTTP {error.code}.") from error
                time.sleep(0.2)
            except TimeoutError as error:
                raise ModelProblem(
                    f"The service of {self.name} took more than {self.timeout:g} s: raise timeout in its table."
                ) from error
            except (OSError, HTTPException) as error:
                if isinstance(getattr(error, "reason", None), TimeoutError):
                    raise ModelProblem(
                        f"The service of {self.name} took more than {self.timeout:g} s: raise timeout in its table."
                    ) from error
                if left == 0:
                    raise ModelProblem(f"The service of {self.name} cannot be reached: is it running?") from error
        try:
            found = json.loads(answer)
        # Endless nesting is not JSON either.
        except (ValueError, RecursionError) as error:
            raise ModelProblem(f"The service of {self.name} answers with something that is not JSON.") from error
        return list(self._read(found, pixels.shape[1], pixels.shape[0]))

    def _fetch(self, request: urllib.request.Request) -> bytes:
        until = time.monotonic() + self.timeout
        body = bytearray()
        with _OPENER.open(request, timeout=self.timeout) as response:
            # The socket's timeout restarts with every byte.
            while part := response.read1(2**16):
                body += part
                if len(body) > MAX_BYTES:
                    raise ModelProblem(f"The service of {self.name} answers with more than {MAX_BYTES // 2**20} MB.")
                if time.monotonic() > until:
                    raise TimeoutError
        return bytes(body)

    def _read(self, found: Any, width: int, height: int) -> Iterator[tuple[str | int, float, tuple[float, ...]]]:
        if isinstance(found, dict):
            found = next((found[key] for key in LISTS if isinstance(found.get(key), list)), found)
        if not isinstance(found, list):
            raise ModelProblem(
                f'The service of {self.name} should answer with a list such as [{{"box": [0, 0, 9, 9], '
                '"label": "cat", "score": 0.9}].'
            )
        if len(found) > MAX_BOXES:
            raise ModelProblem(f"The service of {self.name} answers with {len(found)} boxes: {MAX_BOXES} are the most.")
        for number, one in enumerate(found):
            if not isinstance(one, dict):
                raise ModelProblem(f"Answer {number} of {self.name}'s service should be a table with a box in it.")
            label = next((one[key] for key in LABEL if isinstance(one.get(key), str | int)), None)
            score = next((_number(one[key]) for key in SCORE if key in one), None)
            box = self._box(one)
            if label is None or score is None or box is None:
                missing = "label" if label is None else "score from 0 to 1" if score is None else "box of four numbers"
                raise ModelProblem(f"Answer {number} of {self.name}'s service has no {missing}.")
            if not 0 <= score <= 1:
                raise ModelProblem(f"Answer {number} of {self.name}'s service has the score {score:g}: it is 0 to 1.")
            if self.normalised:
                box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
            yield label, score, box

    def _box(self, one: Json) -> tuple[float, ...] | None:
        given = next((one[key] for key in BOX if key in one), one)
        form = self.boxes
        if isinstance(given, dict):
            corners = next((keys for keys in CORNERS if all(key in given for key in keys)), None)
            sides = next((keys for keys in SIDES if all(key in given for key in keys)), None)
            if corners is None and sides is None:
                return None
            if corners is None and form == "xyxy":
                form = "xywh"
            form, given = ("xyxy" if corners else form), [given[key] for key in corners or sides or ()]
        if not isinstance(given, list) or len(given) != 4:
            return None
        numbers = [_number(value) for value in given]
        if any(value is None for value in numbers):
            return None
        a, b, c, d = (value or 0.0 for value in numbers)
        if form == "xywh":
            return a, b, a + c, b + d
        return (a - c / 2, b - d / 2, a + c / 2, b + d / 2) if form == "cxcywh" else (a, b, c, d)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 1e9 else None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Refuse redirects: the operator's pictures and token go nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


class RemoteModule(nn.Module):
    """Stand in for the remote model: no weights and no layers."""


def load(spec: ModelSpec, progress: Progress | None = None) -> HttpDetector:
    """Adapt the service in the operator's table; nothing is sent before there is a picture."""
    return HttpDetector(spec, Service.of(spec), labels.own(spec))


class HttpDetector(Detector):
    """A service as an Adapter: boxes as it sends them, without further suppression."""

    gradients = False
    parts: tuple[Part, ...] = ("class", "box", "all")
    preprocessings: tuple[str, ...] = ("trained",)
    nms = False

    def __init__(self, spec: ModelSpec, service: Service, names: Sequence[str]) -> None:
        table = {key: value for key, value in asdict(service).items() if key != "name"}
        # The weights behind an address are unknown: the hash is of the way it is asked.
        configuration = json.dumps([table, list(names)], sort_keys=True)
        super().__init__(spec, RemoteModule(), names, hashlib.sha256(configuration.encode()).hexdigest())
        self.service = service
        self.batch = service.at_once
        """Masked pictures that are sent together."""
        self._collects = not names
        self._lock = threading.Lock()

    def prepare(self, pixels: NDArray[np.uint8], preprocessing: str) -> ModelInput:
        """Return the whole picture, its longer side reduced to the service's `size`."""
        height, width = pixels.shape[:2]
        ratio = min(1.0, self.service.size / max(height, width))
        size = (max(round(height * ratio), 1), max(round(width * ratio), 1))
        small = pixels
        if size != (height, width):
            small = np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        tensor = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1))).float().div_(255)
        geometry = Geometry((height, width), size, (size[0] / height, size[1] / width), (0.0, 0.0))
        return ModelInput(tensor.unsqueeze(0), geometry)

    def run(self, tensor: Tensor) -> Detections:
        """Send (B, 3, h, w) in 0..1, `at_once` at a time; raise ModelProblem where an answer is invalid."""
        pictures = (tensor.detach() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        with ThreadPoolExecutor(self.service.at_once) as pool:
            answers = list(pool.map(self.service.ask, pictures))
        indexed = [[(self._index(label), score, box) for label, score, box in answer] for answer in answers]
        count = max(len(self.labels), 1)
        return detections([_find(answer, count) for answer in indexed], None)

    def _index(self, label: str | int) -> int:
        """Return a label's index; new labels are appended, so that known ones keep theirs."""
        with self._lock:
            if isinstance(label, int) and not self._collects:
                if not 0 <= label < len(self.labels):
                    raise ModelProblem(
                        f"The service of {self.spec.id} answers with class {label}: complete its labels."
                    )
                return label
            name = legible(label) if isinstance(label, str) else f"class {label}"
            if name in self.labels:
                return self.labels.index(name)
            if not self._collects:
                raise ModelProblem(
                    f"The service of {self.spec.id} answers with {name[:60]!r}, which is not among its labels."
                )
            if len(self.labels) >= MAX_CLASSES:
                raise ModelProblem(
                    f"The service of {self.spec.id} knows more than {MAX_CLASSES} classes: name its labels."
                )
            self.labels = (*self.labels, name)
            return len(self.labels) - 1

    def select_boxes(self, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        return as_answered(outputs, confidence)


def _find(answer: Sequence[tuple[int, float, tuple[float, ...]]], count: int) -> Candidates:
    """Convert one picture's answer; one candidate that scores 0 where it is empty."""
    answer = answer or [(0, 0.0, (0.0,) * 4)]
    choice = torch.tensor([[index for index, _, _ in answer]])
    scores = torch.tensor([[[score for _, score, _ in answer]]])  # (1, 1, N)
    rows = torch.zeros(1, count, len(answer)).scatter(1, choice[:, None], scores)
    return Candidates(torch.tensor([[box for _, _, box in answer]]), rows, choice=choice)
