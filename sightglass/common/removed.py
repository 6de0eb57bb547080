"""Names that this version no longer has, each with a sentence that says what replaces it."""

from __future__ import annotations


def _gone(lines: str, prefix: str = "") -> dict[str, str]:
    """Return `NAME was removed: instead.` for each name of the lines `NAME NAME = instead`."""
    return {
        prefix + name: f"{prefix}{name} was removed: {instead}."
        for names, instead in (line.split(" = ", 1) for line in lines.strip().splitlines())
        for name in names.split()
    }


_UNSURE = "SIGHTGLASS_SAVE_BELOW=0.5 saves unsure answers"
VERBS: dict[str, str] = _gone(f"""
    watch = {_UNSURE}; the page Saved lists them
    training = docs/notebook.md shows how to explain pictures after each epoch
    users = set SIGHTGLASS_TOKEN, or [auth] in .streamlit/secrets.toml (docs/security.md)
    history deck = use the page Saved of `sightglass dashboard`, or sightglass.history.History in Python
    scorecard = run `sightglass batch --labels` with each model, then compare the runs on the page Pictures
    evidence = hand over report.html, which `sightglass batch` writes into a run's folder
""")
"""Verbs of the command line, such as `watch`."""
OPTIONS: dict[str, str] = _gone(f"""
    --monitor --monitor-threshold --save-below = {_UNSURE}
    --box = `--top-k N` makes a map of each of the N surest boxes
    --missing = a click on an empty place in Explore says why no box is there, and so does Explanation.missing
    --continue = the same batch command goes on where a run stopped, as does the page Pictures
    --patches --apart = pairs.jpg and Best matches on Compare show which places are alike
    --connect = doctor checks versions, the device, weights and settings of this machine
    --matrix = run batch once for each --method
    --prove = `explain PICTURES --seal` tests each map, and `sightglass prove` hides what one shows
    --renormalize = --within each is the same
    --queue --timeout --limit-mb = set SIGHTGLASS_API_QUEUE, SIGHTGLASS_API_TIMEOUT or SIGHTGLASS_API_MB
    --smooth --no-labels = sightglass.video.Settings has it in Python
    --no-sound = clips are written without sound
    --scale = each map of a clip has its own scale
    --between = frames between get the two maps around them mixed
    --force = delete the files that are there, or name another folder
    --yes = nothing is asked on the way
    --all-measures = prove prints every measure that agrees with known causes
""") | {"--seal": "--seal tests maps of explain, which takes several pictures, and of compare."}
"""Flags of the command line, such as `--seal`; whichever verb they are given to."""
FIELDS: dict[str, str] = _gone(f"""
    all_measures = every measure that agrees with known causes is answered
    monitor save_below = the operator's {_UNSURE}
    maps overlay = ask for ?format=npy, png or zip, which has all maps
""")
"""Fields of the API's requests, such as `monitor`; whichever route they are sent to."""
ROUTES: dict[str, str] = _gone("""
    /api/problems = docs/api.md says when each `code` is answered
    /api/explain/class = name the classes as `targets` of POST /api/explain
    /api/layers = `sightglass models layers` lists them, and so does Explainer.layers in Python
    /api/scorecard = the page Pictures compares runs, and so does sightglass.evaluation.scorecard in Python
""")
"""Paths of the API without parameters, such as `/api/monitor`; paths below one count too. The answer is 410."""
SETTINGS: dict[str, str] = _gone(
    f"""
    PROFILE CACHE_MB MODELS_MB EVIDENCE_MB = set SIGHTGLASS_MEMORY_MB
    ACCESS PASSWORD PEOPLE NEWCOMERS OIDC_CLAIM = set SIGHTGLASS_TOKEN or SIGHTGLASS_OPEN=1, or follow docs/security.md
    PROXY_HEADER = let the proxy send SIGHTGLASS_TOKEN as `Authorization: Bearer`
    PROXIES = set FORWARDED_ALLOW_IPS
    FETCH = visitors drop a model's files; an operator names a repository in models.toml (weights.hub)
    FOLDERS = drop pictures on the page Pictures, or run `sightglass batch`
    REQUESTS_PER_MINUTE LOG = let the proxy limit and log requests
    SLIDE_TEXT SLIDE_LOGO = put it into the slide master in PowerPoint
    MONITOR MONITOR_THRESHOLD MONITOR_PER_MINUTE MONITOR_MB MONITOR_KEEP MONITOR_PICTURES API_MONITOR = {_UNSURE}
    """,
    "SIGHTGLASS_",
)
"""Environment variables, such as `SIGHTGLASS_MONITOR`. A server that finds one logs the sentence and starts."""
PAGES: dict[str, str] = {
    "watch": "Watch was removed: answers below SIGHTGLASS_SAVE_BELOW are in Saved under the tag unsure.",
    "cheat": "Catch the cheat is the ready deck See a model cheat.",
    "account": "There are no accounts any more: docs/security.md says how to sign in.",
}
"""Addresses of the dashboard, such as `watch`. The visit opens a page of `INSTEAD`, else Explore, with the sentence."""
PARAMETERS: dict[str, str] = {
    **dict.fromkeys(("per", "ratio"), "Explore has one map for each box: `sightglass explain --per` has the others."),
    "head": "Attention is the mean of all heads on pages: `sightglass explain --head` shows one.",
    "tags": "Boxes have their numbers only: their names and scores are in the list.",
    **dict.fromkeys(
        ("folder", "labels"), "Pages read no folders of the server: drop the pictures here, or run `sightglass batch`."
    ),
    **dict.fromkeys(("ask", "ask-for"), "A link has no place where something is missing: click it on Explore."),
    "rival": "Explore has one class or place at a time: `sightglass explain --against` weighs it against another.",
    "close": "The layers of a box are shown over the whole picture: zoom one of them.",
    **dict.fromkeys(
        ("smooth", "timescale"),
        "Maps of a clip have their own scale and are smoothed a little: video.Settings changes the latter.",
    ),
}
"""Parameters of the dashboard's links, such as `per`. The visit goes on without them, with the sentence."""
INSTEAD: dict[str, tuple[str, dict[str, str]]] = {
    "watch": ("saved", {"tagged": "unsure"}),
    "cheat": ("saved", {"deck": "cheat"}),
}
"""The page that a visit to the address of a removed one opens, and its parameters."""
KEYS: dict[str, str] = {
    "config": "a PromptSG's configuration is the .json of the same name beside its weights: move or link it there.",
    "inputs": "Networks of two pictures were removed: wrap yours in a class that takes one.",
}
"""Keys of a models.toml's tables, such as `weights.inputs`."""
_HTTP = "asks a detector behind an HTTP address, which was removed: export the detector to ONNX."
_LIBRE = "is a network of libreyolo, which was removed: take one of Transformers or torchvision, or export it to ONNX."
LOADERS: dict[str, str] = {"http_service": _HTTP, "endpoint": _HTTP, "detr": _LIBRE, "libre_semantic": _LIBRE}
"""Loaders in a models.toml, whose sentence goes on after the model's name."""
FORMATS: dict[str, str] = {
    ".xml": "OpenVINO's files were removed: export the network to ONNX, which answers the same.",
}
"""Endings of files of models, such as `.xml`; the sentence goes on after the file's name."""

LISTS: dict[str, str] = dict.fromkeys(
    (".txt", ".lst", ".tsv"),
    "Lists of pictures were removed: name the pictures themselves, or their folder, and give labels as a .csv.",
)
"""Endings of files of paths, such as `.txt`, where pictures are expected."""


def find_route(path: str) -> str | None:
    """Return the sentence for a removed path of the API, or None."""
    return next((text for route, text in ROUTES.items() if path == route or path.startswith(f"{route}/")), None)
