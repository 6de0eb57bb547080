"""Files of a map that was proved carry the proof: sentence, curves, numbers, and a recipe that makes it again."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.explain import Explainer, Explanation
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.export import embedded_recipe
from sightglass.export.proof import files as proof_files
from sightglass.export.proof.chart import LINE, dashes
from sightglass.export.report import html as html_report
from sightglass.export.report import pdf as pdf_report
from tests.rooms import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.proof.proof import Proof

NAME = "=1+1 <img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def bare(scene: Path) -> Explanation:
    return Explainer("demo-cls-s")(Image(Image.open(scene).pixels, NAME), top_k=2)


@pytest.fixture(scope="module")
def made(bare: Explanation) -> Explanation:
    """Two maps, of which the second was proved."""
    made = Explainer("demo-cls-s")(bare.image, top_k=2)
    made.prove(made.heatmaps[1].target.label, steps=5)
    return made


@pytest.fixture(scope="module")
def proof(made: Explanation) -> Proof:
    return made.proofs[1]


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_a_page_has_the_proof_in_words_curves_and_numbers(made: Explanation, proof: Proof) -> None:
    page = html_report.html([made])
    words = text(page)
    assert proof.sentence in words
    for curve in ("map", *proof.controls):
        hidden, kept = proof.at(0.2, curve)
        assert percent(hidden) in words and percent(kept) in words
    found = proof.difference("random")
    assert f"{found.mean:+.2f}" in words and f"{found.low:+.2f} to {found.high:+.2f}" in words
    # Told apart by dashes, not by colour alone.
    dashes = dict(
        re.findall(r'data-name="([\w-]+)" data-filling="blur"\s+d="[^"]+"[^>]*?stroke-dasharray="([^"]+)"', page)
    )
    assert set(dashes) == set(proof.controls) and len(set(dashes.values())) == len(dashes)
    assert 'aria-label="Proof of the map of' in page and page.count('class="proof"') == 1


def test_the_slider_of_a_page_is_sent_what_the_engine_measured(made: Explanation, proof: Proof) -> None:
    page = html_report.html([made])
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    first, second = json.loads(found[1])["views"][0]["maps"]
    assert "proof" not in first
    sent = {(line["name"], line["filling"]): line for line in second["proof"]["lines"]}
    assert np.allclose(sent["map", "blur"]["hidden"], proof.map.deletion.score, atol=1e-4)
    mean = np.mean([curve.insertion.score for curve in proof.of("random", "mean")], axis=0)
    assert np.allclose(sent["random", "mean"]["kept"], mean, atol=1e-4)
    assert second["proof"]["steps"] == 5
    # The browser may run this script and no other.
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def dashes_of(page: bytes) -> set[bytes]:
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", page, re.DOTALL)
    found = set()
    for data in streams:
        try:
            found |= set(re.findall(rb"\[[\d. ]+\] [\d.]+ d\b", zlib.decompress(data)))
        except zlib.error:
            continue
    return found


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_curves_as_a_figure_are_vectors_and_make_the_proof_again(made: Explanation, proof: Proof, kind) -> None:
    data = proof_files.curves(made, 1, proof, kind)
    assert proof_files.figure(proof, kind) == proof_files.figure(proof, kind)
    if kind == "png":
        recipe = embedded_recipe.read(data)
        assert recipe is not None and recipe.prove == proof_files.settings(1, proof)
    if kind == "svg":
        words = " ".join(re.findall(r">([^<>]+)</text>", data.decode("utf-8")))
        assert " ".join(proof.sentence.split()) in " ".join(html.unescape(words).split())
        assert data.count(b"stroke-dasharray") >= len(proof.controls) and b"<image" not in data
    if kind == "pdf":
        assert b"/Type3" not in data


def test_the_dashes_of_a_control_are_those_of_the_screen_everywhere(made: Explanation, proof: Proof) -> None:
    screen = (ROOT / "sightglass/browser/curves.js").read_text("utf-8")
    page, svg = html_report.html([made]), proof_files.curves(made, 1, proof, "svg").decode()
    paper = dashes_of(pdf_report.pdf(made, 1))
    in_figure = [numbers(one) for one in re.findall(r"stroke-dasharray: ([\d., ]+)", svg)]
    in_report = [numbers(one.split(b"]")[0].decode()) for one in paper]
    for name in proof.controls:
        found = re.search(rf'"{name}": "([\d ]+)"', screen)
        assert found is not None and dashes(name, LINE) == numbers(found[1])
        assert f'stroke-dasharray="{found[1]}"' in page
        assert pytest.approx(dashes(name, 1.1), abs=0.01) in in_figure
        assert pytest.approx(dashes(name, 0.35), abs=0.01) in in_report


def numbers(listed: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", listed)]
