"""Files are given, not fetched by an address; models of Hugging Face come within limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sightglass.common.errors import ImageProblem, WeightsProblem
from sightglass.explain import Explainer, Image
from sightglass.models.checkpoints import remote_file, weights

if TYPE_CHECKING:
    from tests.unit.models.checkpoints.conftest import Server


@pytest.mark.parametrize("address", ["https://a.b/c.png", "http://a.b/c.png", "ftp://a.b/c.png", "https:/a.b/c.png"])
def test_no_file_is_fetched_by_its_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "0")
    sentence = r"c\.png is not fetched by its address: download it and give the file\.$"
    with pytest.raises(ImageProblem, match=sentence):
        Image.open(address)
    with pytest.raises(WeightsProblem, match=sentence):
        Explainer(address)
    with pytest.raises(WeightsProblem, match=sentence):
        remote_file.check_name(address)


def test_a_model_of_hugging_face_is_downloaded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "0")
    from huggingface_hub import constants

    names = ("config.json", "vocab.txt", "pytorch_model.bin", "model.safetensors", "README.md")
    listing: dict[str, Any] = {"siblings": [{"rfilename": name} for name in names]}
    server.files["/api/models/owner/name"] = json.dumps(listing).encode()
    server.files |= {f"/{name}": name.encode() for name in names}
    monkeypatch.setattr(constants, "ENDPOINT", server.address(""))
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda _, file: server.address(f"/{file}"))
    monkeypatch.setattr(remote_file, "MAX_FETCHED_BYTES", 0)
    for _ in range(2):
        # What was downloaded before makes room.
        files = remote_file.fetch_model("hf-hub:owner/name")
        assert [file.name for file in files] == ["config.json", "vocab.txt", "model.safetensors"]
        assert [file.read_text() for file in files] == [file.name for file in files]
    assert server.asked.count("/model.safetensors") == 2
    assert {path for path in (weights.cache() / "hub").rglob("*") if path.is_file()} == {*files}
    with pytest.raises(WeightsProblem, match=r"^owner/other was not found on Hugging Face "):
        remote_file.fetch_model("owner/other")
    with pytest.raises(WeightsProblem, match=r"^name is no name on Hugging Face: give owner/name\.$"):
        remote_file.fetch_model("name")
