"""Store the proofs of a record."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import Json, to_json
from sightglass.explain.maps.statistics import Agreement
from sightglass.explain.trust import FILLINGS
from sightglass.explain.trust.proof import CONTROLS, SHOWN, Curve, Effect, Proof, Support, Trace
from sightglass.export import embedded_recipe, result_folder, results
from sightglass.export.proof import files as proof_files
from sightglass.history.records import SavedProof
from sightglass.history.store import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sightglass.history.records import Record, SavedMap

_NAMES = ("map", *CONTROLS)


def encode(proofs: Mapping[int, Proof]) -> tuple[tuple[SavedProof, ...], tuple[Blob, ...]]:
    """Return a record's proofs by map index, and their files."""
    saved, files = [], []
    for index, proof in sorted(proofs.items()):
        file = Blob.of(json.dumps(_plain(proof), separators=(",", ":")).encode(), "json")
        applied = proof_files.settings(index, proof)
        saved.append(SavedProof(index, applied.steps, applied.fillings, proof.sentence, file.name))
        files.append(file)
    return tuple(saved), tuple(files)


def _plain(proof: Proof) -> Json:
    curves = [
        {name: getattr(curve, name) for name in ("name", "number", "filling")}
        | {"deletion": _trace(curve.deletion), "insertion": _trace(curve.insertion)}
        for curve in proof.curves
    ]
    plain: Json = {name: getattr(proof, name) for name in ("label", "part", "fillings", "start", "runner_up")}
    plain |= {name: (part := getattr(proof, name)) and asdict(part) for name in ("similarity", "support")}
    return plain | {"curves": curves}


def _trace(trace: Trace) -> dict[str, list[Any]]:
    return {name: getattr(trace, name).tolist() for name in ("value", "score", "stays")}


def decode(data: bytes) -> Proof:
    """Return the proof of `encode`'s file. Raises Problem."""
    try:
        plain = json.loads(data)
        curves = tuple(_curve(item) for item in plain["curves"])
        similarity = None if plain["similarity"] is None else Agreement(**plain["similarity"])
        texts = {name: str(plain[name]) for name in ("label", "part", "runner_up")}
        fillings = tuple(plain["fillings"])
        # Earlier versions saved no verdict.
        tested = None if plain.get("support") is None else _support(plain["support"])
        start = float(plain["start"])
        proof = Proof(**texts, curves=curves, fillings=fillings, start=start, similarity=similarity, support=tested)
        if {curve.filling for curve in curves} != set(fillings) or not all(
            proof.of("map", filling) for filling in fillings
        ):
            raise ValueError("its own curves are missing")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Problem("The proof of this record is damaged: its content has changed.") from error
    return proof


def _support(plain: Json) -> Support:
    others, copies = (tuple(map(_effect, plain[name])) for name in ("others", "copies"))
    label, in_box, start = str(plain["label"]), bool(plain["in_box"]), float(plain["start"])
    # Earlier versions saved no share.
    share = float(plain.get("start_share", SHOWN))
    return Support(label, in_box, start, _effect(plain["own"]), others, copies, share)


def _effect(plain: Json) -> Effect:
    shares, hidden, kept = (tuple(map(float, plain[name])) for name in ("shares", "hidden", "kept"))
    if SHOWN not in shares or not len(shares) == len(hidden) == len(kept):
        raise ValueError("no such effect")
    return Effect(str(plain["name"]), shares, hidden, kept)


def _curve(plain: Json) -> Curve:
    if plain["name"] not in _NAMES or plain["filling"] not in FILLINGS:
        raise ValueError("no such curve")
    deletion, insertion = (
        Trace(np.array(trace["value"], float), np.array(trace["score"], float), np.array(trace["stays"], bool))
        for trace in (plain["deletion"], plain["insertion"])
    )
    return Curve(plain["name"], int(plain["number"]), plain["filling"], deletion, insertion)


def files(record: Record, maps: Sequence[SavedMap], proofs: Mapping[int, Proof]) -> Iterator[tuple[str, bytes]]:
    """Yield `proof.png` and `proof.json` of the record's own map, with the recipe that makes it again; files of other
    maps begin with their names."""
    sealed = record.checked_recipe
    assert sealed is not None
    for index, proof in proofs.items():
        item = maps[index]
        begin = "" if index == record.index else f"top{index + 1}_{result_folder.label_stem(item.label)}_"
        recipe = sealed.model_copy(update={"prove": proof_files.settings(index, proof)})
        view = record.view.model_copy(update={"index": index, "label": item.label[:200]})
        yield f"{begin}{proof_files.CURVES}", embedded_recipe.write(proof_files.figure(proof), recipe, view)
        fields = proof_files.describe(proof, record.picture_name, record.task, item, item.statistics, recipe)
        yield f"{begin}{proof_files.PROOF}", to_json(results.to_dict(results.ProofResult, fields)).encode()
