"""Names that this version no longer has, and what replaces them.

Each table maps a name to the sentence. The sentence names the removed part and its replacement.
"""

from __future__ import annotations

_UNSURE = "SIGHTGLASS_SAVE_BELOW=0.5 saves unsure answers"
VERBS: dict[str, str] = {
    "watch": f"The verb watch was removed: {_UNSURE}; the page Saved lists them.",
    "training": "The verb training was removed: docs/notebook.md shows how to explain pictures after each epoch.",
    "users": "Sightglass keeps no list of people: set SIGHTGLASS_TOKEN, or [auth] in .streamlit/secrets.toml "
    "(docs/security.md).",
    "history": "The verb history was removed: the page Saved of `sightglass dashboard` finds and exports records, "
    "and so does sightglass.history.History in Python.",
    "deck": "The verb deck was removed: the page Saved of `sightglass dashboard` makes, exports and opens decks, and "
    "sightglass.history.History().decks does in Python.",
    "scorecard": "The verb scorecard was removed: run `sightglass batch --labels` with each model, then the page "
    "Pictures or GET /api/scorecard compares the runs.",
    "evidence": "Evidence packs are gone: hand over report.html, which `sightglass batch` writes into a run's folder.",
}
"""Verbs of the command line, such as `watch`."""
OPTIONS: dict[str, str] = {
    "--monitor": f"--monitor was removed: {_UNSURE}.",
    "--monitor-threshold": f"--monitor-threshold was removed: {_UNSURE}.",
    "--box": "--box is of explain and detect: in another model `detect --missing X,Y,X,Y` explains what is at the same "
    "place, and Detect in the dashboard shows all sizes of a model.",
    "--continue": "--continue was removed: the same batch command goes on where a run stopped, as does the page Batch.",
    "--patches": "--patches was removed: pairs.jpg and Best matches on Compare show which places are alike.",
    "--apart": "--apart was removed: compare two pictures, or rank a --gallery.",
    "--connect": "--connect was removed: doctor checks versions, the device, weights and settings of this machine.",
    "--matrix": "--matrix was removed: run batch --seal once for each --method.",
    "--prove": "--prove was removed: `batch --seal` tests each map, and `sightglass prove` hides what one shows.",
    "--renormalize": "--renormalize was removed: --within each is the same.",
    "--save-below": f"--save-below was removed: {_UNSURE}.",
    **{
        flag: f"{flag} was removed: set SIGHTGLASS_API_{name}."
        for flag, name in (("--queue", "QUEUE"), ("--timeout", "TIMEOUT"), ("--limit-mb", "MB"))
    },
    **dict.fromkeys(
        ("--between", "--smooth", "--no-labels", "--no-sound"),
        "This flag of video was removed: sightglass.video.Settings has it in Python.",
    ),
    "--force": "examples --force was removed: delete the files that are there, or name another folder.",
    "--seal": "--seal tests maps of image, class, segment, detect, compare and batch, not those of pairs.",
    "--all-measures": "--all-measures was removed: prove prints every measure that agrees with known causes.",
}
"""Flags of the command line, such as `--seal`; whichever verb they are given to."""
FIELDS: dict[str, str] = {
    "all_measures": "The field all_measures was removed: every measure that agrees with known causes is answered.",
    "monitor": f"The field monitor was removed: the operator's {_UNSURE}.",
    "save_below": f"The field save_below was removed: the operator's {_UNSURE}.",
}
"""Fields of the API's requests, such as `monitor`; whichever route they are sent to."""
ROUTES: dict[str, str] = {
    "/api/problems": "The list of problems was removed: docs/api.md says when each `code` is answered.",
}
"""Paths of the API without parameters, such as `/api/monitor`; paths below one count too. The answer is 410."""
SETTINGS: dict[str, str] = {
    "SIGHTGLASS_PROFILE": "There are no profiles any more: set SIGHTGLASS_MEMORY_MB and the container's memory limit.",
    "SIGHTGLASS_CACHE_MB": "Small caches have fixed limits now: set SIGHTGLASS_MODELS_MB and SIGHTGLASS_EVIDENCE_MB.",
    "SIGHTGLASS_ACCESS": "SIGHTGLASS_ACCESS is not read any more: set SIGHTGLASS_TOKEN, [auth] in "
    ".streamlit/secrets.toml, or SIGHTGLASS_OPEN=1.",
    "SIGHTGLASS_PASSWORD": "SIGHTGLASS_PASSWORD is not read any more: set SIGHTGLASS_TOKEN.",
    "SIGHTGLASS_PEOPLE": "SIGHTGLASS_PEOPLE is not read any more: SIGHTGLASS_EMAILS lists the e-mail addresses "
    "that may sign in.",
    "SIGHTGLASS_NEWCOMERS": "SIGHTGLASS_NEWCOMERS is not read any more: everybody whom the provider signs in gets in, "
    "or those in SIGHTGLASS_EMAILS.",
    "SIGHTGLASS_OIDC_CLAIM": "SIGHTGLASS_OIDC_CLAIM is not read any more: a verified e-mail "
    "address counts, else `sub`.",
    "SIGHTGLASS_PROXY_HEADER": "SIGHTGLASS_PROXY_HEADER is not read any more: let the proxy send SIGHTGLASS_TOKEN as "
    "`Authorization: Bearer`.",
    "SIGHTGLASS_PROXIES": "SIGHTGLASS_PROXIES is not read any more: set FORWARDED_ALLOW_IPS.",
    **{
        f"SIGHTGLASS_SLIDE_{name}": f"SIGHTGLASS_SLIDE_{name} is not read any more: put it into the slide master in "
        "PowerPoint."
        for name in ("TEXT", "LOGO")
    },
    "SIGHTGLASS_REQUESTS_PER_MINUTE": "SIGHTGLASS_REQUESTS_PER_MINUTE is not read any more: limit requests at "
    "the proxy.",
} | {
    f"SIGHTGLASS_{name}": f"SIGHTGLASS_{name} was removed: {_UNSURE}."
    for name in (
        "MONITOR",
        "MONITOR_THRESHOLD",
        "MONITOR_PER_MINUTE",
        "MONITOR_MB",
        "MONITOR_KEEP",
        "MONITOR_PICTURES",
        "API_MONITOR",
    )
}
"""Environment variables, such as `SIGHTGLASS_MONITOR`. A server that finds one logs the sentence and starts."""
PAGES: dict[str, str] = {
    "watch": "Watch was removed: answers below SIGHTGLASS_SAVE_BELOW are in Saved under the tag unsure.",
    "cheat": "Catch the cheat is the ready deck See a model cheat, below.",
    "account": "There are no accounts any more: docs/security.md says how to sign in.",
}
"""Addresses of the dashboard, such as `watch`. The visit opens a page of `INSTEAD`, else Explore, with the sentence."""
PARAMETERS: dict[str, str] = {
    **dict.fromkeys(
        ("per", "ratio"),
        "Explore has one map for each box: Top-k has one for each class, and `sightglass explain --per` the others.",
    ),
    "head": "Attention is the mean of all heads on pages: `sightglass explain --head` shows one.",
    "tags": "Boxes have their numbers only: their names and scores are in the list.",
    "close": "The layers of a box are shown over the whole picture: zoom one of them.",
    **dict.fromkeys(
        ("smooth", "timescale"),
        "Maps of a clip have their own scale and are smoothed a little: video.Settings changes it.",
    ),
}
"""Parameters of the dashboard's links, such as `per`. The visit goes on without them, with the sentence."""
INSTEAD: dict[str, tuple[str, dict[str, str]]] = {
    "watch": ("saved", {"tagged": "unsure"}),
    "cheat": ("saved", {"tab": "decks"}),
}
"""The page that a visit to the address of a removed one opens, and its parameters."""

KEYS: dict[str, str] = {
    "inputs": "Networks of two pictures were removed: wrap yours in a class that takes one, the two side by side.",
}
"""Keys of a models.toml's tables, such as `weights.inputs`."""
LOADERS: dict[str, str] = {
    **dict.fromkeys(
        ("http_service", "endpoint"),
        "asks a detector behind an HTTP address, which was removed: export the detector to ONNX or OpenVINO.",
    ),
    "detr": "is a DETR of libreyolo, which was removed: take one of Transformers or Ultralytics, or export it to ONNX.",
    "libre_semantic": "is a segmentation network of libreyolo, which was removed: take one of Transformers, "
    "Ultralytics or torchvision, or name its class in a file of yours.",
}
"""Loaders in a models.toml, whose sentence goes on after the model's name."""


def find_route(path: str) -> str | None:
    """Return the sentence for a removed path of the API, or None."""
    return next((text for route, text in ROUTES.items() if path == route or path.startswith(f"{route}/")), None)
