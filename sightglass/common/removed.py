"""Names that this version no longer has, each with a sentence that says what replaces it."""

from __future__ import annotations


def _gone(names: str, instead: str, prefix: str = "") -> dict[str, str]:
    """Return `NAME was removed: instead.` for each of the names."""
    return {prefix + name: f"{prefix}{name} was removed: {instead}." for name in names.split()}


_UNSURE = "SIGHTGLASS_SAVE_BELOW=0.5 saves unsure answers"
VERBS: dict[str, str] = {
    **_gone("watch", f"{_UNSURE}; the page Saved lists them"),
    **_gone("training", "docs/notebook.md shows how to explain pictures after each epoch"),
    **_gone("users", "set SIGHTGLASS_TOKEN, or [auth] in .streamlit/secrets.toml (docs/security.md)"),
    **_gone("history deck", "use the page Saved of `sightglass dashboard`, or sightglass.history.History in Python"),
    **_gone("scorecard", "run `sightglass batch --labels` with each model, then compare the runs on the page Pictures"),
    **_gone("evidence", "hand over report.html, which `sightglass batch` writes into a run's folder"),
}
"""Verbs of the command line, such as `watch`."""
OPTIONS: dict[str, str] = {
    **_gone("--monitor --monitor-threshold --save-below", _UNSURE),
    "--box": "--box is of explain and detect: in another model `detect --missing X,Y,X,Y` explains what is at the same "
    "place, and Detect in the dashboard shows all sizes of a model.",
    **_gone("--continue", "the same batch command goes on where a run stopped, as does the page Batch"),
    **_gone("--patches --apart", "pairs.jpg and Best matches on Compare show which places are alike"),
    **_gone("--connect", "doctor checks versions, the device, weights and settings of this machine"),
    **_gone("--matrix", "run batch --seal once for each --method"),
    **_gone("--prove", "`batch --seal` tests each map, and `sightglass prove` hides what one shows"),
    **_gone("--renormalize", "--within each is the same"),
    **_gone("--queue --timeout --limit-mb", "set SIGHTGLASS_API_QUEUE, SIGHTGLASS_API_TIMEOUT or SIGHTGLASS_API_MB"),
    **_gone("--smooth --no-labels --no-sound", "sightglass.video.Settings has it in Python"),
    **_gone("--between", "frames between get the two maps around them mixed"),
    **_gone("--force", "delete the files that are there, or name another folder"),
    "--seal": "--seal tests maps of image, class, segment, detect, compare and batch, not those of pairs.",
    **_gone("--yes", "nothing is asked on the way"),
    **_gone("--all-measures", "prove prints every measure that agrees with known causes"),
}
"""Flags of the command line, such as `--seal`; whichever verb they are given to."""
FIELDS: dict[str, str] = {
    **_gone("all_measures", "every measure that agrees with known causes is answered"),
    **_gone("monitor save_below", f"the operator's {_UNSURE}"),
}
"""Fields of the API's requests, such as `monitor`; whichever route they are sent to."""
ROUTES: dict[str, str] = {
    **_gone("/api/problems", "docs/api.md says when each `code` is answered"),
    **_gone("/api/scorecard", "the page Pictures compares runs, and so does sightglass.evaluation.scorecard in Python"),
}
"""Paths of the API without parameters, such as `/api/monitor`; paths below one count too. The answer is 410."""
SETTINGS: dict[str, str] = {
    **_gone("PROFILE CACHE_MB", "set SIGHTGLASS_MODELS_MB and SIGHTGLASS_EVIDENCE_MB", "SIGHTGLASS_"),
    **_gone(
        "ACCESS PASSWORD PEOPLE NEWCOMERS OIDC_CLAIM",
        "set SIGHTGLASS_TOKEN, or [auth] in .streamlit/secrets.toml and SIGHTGLASS_EMAILS, or SIGHTGLASS_OPEN=1",
        "SIGHTGLASS_",
    ),
    **_gone("PROXY_HEADER", "let the proxy send SIGHTGLASS_TOKEN as `Authorization: Bearer`", "SIGHTGLASS_"),
    **_gone("PROXIES", "set FORWARDED_ALLOW_IPS", "SIGHTGLASS_"),
    **_gone(
        "FETCH",
        "visitors drop a model's files; an operator names a repository in models.toml (weights.hub)",
        "SIGHTGLASS_",
    ),
    **_gone("FOLDERS", "drop pictures on the page Pictures, or run `sightglass batch`", "SIGHTGLASS_"),
    **_gone("REQUESTS_PER_MINUTE LOG", "let the proxy limit and log requests", "SIGHTGLASS_"),
    **_gone("SLIDE_TEXT SLIDE_LOGO", "put it into the slide master in PowerPoint", "SIGHTGLASS_"),
    **_gone(
        "MONITOR MONITOR_THRESHOLD MONITOR_PER_MINUTE MONITOR_MB MONITOR_KEEP MONITOR_PICTURES API_MONITOR",
        _UNSURE,
        "SIGHTGLASS_",
    ),
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
    **dict.fromkeys(
        ("folder", "labels"), "Pages read no folders of the server: drop the pictures here, or run `sightglass batch`."
    ),
    **dict.fromkeys(("ask", "ask-for"), "A link has no place where something is missing: click it on Explore."),
    "rival": "Explore has one class or place at a time: `sightglass explain --against` weighs it against another.",
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
    **dict.fromkeys(
        ("detr", "libre_semantic"),
        "is a network of libreyolo, which was removed: take one of Transformers, Ultralytics or torchvision, or export "
        "it to ONNX.",
    ),
}
"""Loaders in a models.toml, whose sentence goes on after the model's name."""


def find_route(path: str) -> str | None:
    """Return the sentence for a removed path of the API, or None."""
    return next((text for route, text in ROUTES.items() if path == route or path.startswith(f"{route}/")), None)
