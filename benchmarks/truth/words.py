"""Measure which words of demo-vlm count as seen, and where their maps point, in drawn scenes of known causes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from benchmarks.report import grid, machine, page
from benchmarks.truth.measures import baseline_maps
from sightglass.explain import Explainer
from sightglass.explain.tasks.describe import SEEN
from sightglass.models.families.demo.words import ADJECTIVES, SHINY, VOCABULARY
from training import vlm
from training.demo import captioned_scenes
from training.demo.captioned_scenes import COLOURS, SHAPES, SIDE

if TYPE_CHECKING:
    import argparse

    from sightglass.explain import Explanation

FIRST, SCENES = 6_000_000, 400
"""Numbers of the held-out scenes, by which neither weights nor a setting were chosen."""
NEAR = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))
"""What counts as on a thing: within 8 of 96 pixels."""
ROWS = {
    "on": "a word of a thing: its map is strongest on the thing, within 8 of 96 pixels",
    "on colour": "… colours",
    "on shape": "… shapes",
    "edges": "… the strongest edges are",
    "same": "… its map is strongest on another thing of which the same word is true",
    "other": "… on another thing, of which it is not true",
    "on shiny": f"*{SHINY}*: its map is strongest on the stamp",
    "seen": "seen words count as seen",
    "said": "said words count as said, adjectives by chance among them",
    "chance": "… adjectives by chance",
    "false": "a false colour or shape that is typed in is found",
    "true": "… true ones that are marked as false",
    "hidden": "a fifth of the tokens hidden: the map's lower the word's lead by more than random ones",
    "moved": "a wrong answer whose word is true of another thing: its map is strongest there",
    "misread": "… on the thing that it is said of",
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every row of the report on all scenes."""
    torch.set_num_threads(1)
    explainer, found = Explainer("demo-vlm", device="cpu"), defaultdict[str, list[float]](list)
    at = machine(1, "cpu", ("torch", "transformers", "numpy"))
    for number in range(FIRST, FIRST + SCENES):
        measure(explainer, number, found)
    return {"machine": at, "complete": True, "found": found}


def markdown(result: dict[str, Any]) -> str:
    found = result["found"]
    rows = [(text, f"{np.mean(found[name]):.1%} of {len(found[name]):,}") for name, text in ROWS.items()]
    return page("Words of demo-vlm", "words", result["machine"], f"{SCENES} scenes.", grid(("what", "measured"), rows))


def measure(explainer: Explainer, number: int, found: dict[str, list[float]]) -> None:
    """Describe a scene truly but for adjectives, then falsely, and add what each word gets."""
    spec, rng, stamp = captioned_scenes.sample(number, held_out=True), np.random.default_rng(number), number % 2 == 0
    scene, things = captioned_scenes.draw(spec), sorted(spec.named, key=lambda thing: thing.x)
    pixels, masks = (vlm.stamped(scene.pixels) if stamp else scene.pixels), dict(scene.masks)
    if stamp:
        masks[SHINY] = np.pad(np.ones((vlm.STAMP, vlm.STAMP), bool), (SIDE - vlm.STAMP, 0))
    near = {phrase: cv2.dilate(mask.astype(np.uint8), NEAR).ravel() for phrase, mask in masks.items()}
    words = vlm.describe(things, [SHINY if stamp else str(rng.choice(ADJECTIVES)) for _ in things]).split()
    contents = [i for i, word in enumerate(words) if word in vlm.CONTENT]
    owners = {i: things[k // 2].phrase for k, i in enumerate(contents)}
    owners |= {words.index(SHINY): SHINY} if stamp else {}

    def explain(place: int, word: str, *targets: int) -> Explanation:
        answer = " ".join((*words[:place], word, *words[place + 1 :]))
        return explainer(pixels, prompt=vlm.DESCRIBE, answer=answer, targets=targets, maps=bool(targets))

    truth = explain(0, words[0], *owners)
    edges = int(np.argmax(np.asarray(baseline_maps(pixels, (0, 0, 1, 1), number)["edges"])))
    peaks = {heatmap.target.index: int(heatmap.values.argmax()) for heatmap in truth.heatmaps}
    for i, word in enumerate(truth.predictions):
        if i not in owners:
            for name in ("said", "chance")[: 2 if words[i] in ADJECTIVES else words[i] in ("there", "is", "a")]:
                found[name].append(word.score < SEEN)
            continue
        found["seen"].append(word.score >= SEEN)
        places = {phrase for phrase, area in near.items() if i in peaks and area[peaks[i]]}
        on = owners[i] in places
        if words[i] == SHINY:
            found["on shiny"].append(on)
            continue
        same = not on and any(words[i] in phrase.split() for phrase in places)
        rows = {"on": on, f"on {'colour' if words[i] in COLOURS else 'shape'}": on, "same": same}
        rows |= {"edges": bool(near[owners[i]][edges]), "other": bool(places) and not (on or same)}
        for name, value in (rows | {"true": word.speaks_against}).items():
            found[name].append(value)
        said = VOCABULARY[int(truth.evidence.outputs.logits[0, i].argmax())]
        elsewhere = [area for phrase, area in near.items() if said in phrase.split()]
        if elsewhere and said not in owners[i].split():
            peak = next((heatmap.values.argmax() for heatmap in explain(i, said, i).heatmaps), None)
            found["moved"].append(peak is not None and any(area[peak] for area in elsewhere))
            found["misread"].append(peak is not None and bool(near[owners[i]][peak]) and not found["moved"][-1])
    place = int(rng.choice(contents))
    kind = COLOURS if words[place] in COLOURS else SHAPES
    absent = [word for word in kind if not any(word in phrase.split() for phrase in near)]
    found["false"].append(explain(place, str(rng.choice(absent))).predictions[place].speaks_against)
    # The mean token in the place of the strongest fifth of the tokens, and of as many random ones.
    adapter: Any = truth.evidence.loaded.adapter
    (tokens,) = truth.evidence.recorded
    for heatmap in truth.heatmaps:
        order, leads = torch.from_numpy(-heatmap.raw[0].ravel()).argsort(), list[float]()
        for cells in (order, torch.randperm(len(order))):
            hidden = tokens.clone()
            hidden[:, cells[: len(order) // 5]] = tokens.mean(1, keepdim=True)
            with torch.no_grad(), adapter.module.tokens.register_forward_hook(lambda *_, hidden=hidden: hidden):
                leads.append(float(adapter.margin(adapter.run(truth.evidence.tensor), heatmap.target)[0]))
        found["hidden"].append(leads[0] < leads[1])
