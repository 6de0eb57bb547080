"""The dashboard's own server: signing in with a provider, what a page's script then knows, and no secret in any log."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from benchmarks.processes import free_port
from sightglass.common.access import passwords, people
from tests.servers import until_it_answers
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PASSWORD, KEY = "a password of nobody's", "a-key-of-the-operator"
CLIENT, CLIENT_SECRET, COOKIE_SECRET = "sightglass", "the-clients-own-secret", "a" * 20 + "the-secret-of-cookies"


class Provider(ThreadingHTTPServer):
    """A small provider of OpenID Connect: whoever asks is signed in as `claims` says, without a question."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.claims: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"

    def token(self, given: dict[str, str]) -> dict[str, Any] | None:
        """What a code is worth, once, for the client that asked for it."""
        asked = self.codes.pop(given.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(given.get("code_verifier", "").encode()).digest())
        if asked is None or asked["code_challenge"] != challenge.decode().rstrip("="):
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "x7", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.claims, self.key)
        return {"access_token": secrets.token_hex(8), "token_type": "Bearer", "id_token": token, "expires_in": 300}


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        at, given = urlsplit(self.path), {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        issuer = self.server.issuer
        if at.path == "/authorize":
            assert given["client_id"] == CLIENT
            assert given["response_type"] == "code"
            code = secrets.token_hex(8)
            self.server.codes[code] = given
            self.send_response(302)
            self.send_header(
                "Location", f"{given['redirect_uri']}?{urlencode({'code': code, 'state': given['state']})}"
            )
            self.end_headers()
        elif at.path == "/keys":
            self._json({"keys": [self.server.key.as_dict(private=False)]})
        else:
            self._json(
                {
                    "issuer": issuer,
                    "authorization_endpoint": f"{issuer}/authorize",
                    "token_endpoint": f"{issuer}/token",
                    "jwks_uri": f"{issuer}/keys",
                    "code_challenge_methods_supported": ["S256"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        found = self.server.token({key: values[0] for key, values in parse_qs(body).items()})
        if self.headers["Authorization"] != f"Basic {basic}" or found is None:
            self._json({"error": "invalid_grant"}, 400)
        else:
            self._json(found)

    def _json(self, value: Any, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@contextmanager
def serving(folder: Path, port: int, log: Path, **environment: str) -> Iterator[str]:
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard.py"), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--logger.level=debug"]
    address = f"http://localhost:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, stdout=out, stderr=out
        )
        try:
            until_it_answers(f"{address}/_stcore/health", process, log=log)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def seen(address: str, cookies: httpx.Cookies, page: str, *words: str) -> bool:
    """Whether a page's script says all of these, run for whoever has these cookies."""
    headers = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies.jar)}
    url = f"{address.replace('http', 'ws')}/_stcore/stream"
    with connect(url, additional_headers=headers, origin=address, subprotocols=["streamlit"]) as socket:  # type: ignore[arg-type, list-item]
        message = BackMsg()
        message.rerun_script.page_name = page
        socket.send(message.SerializeToString())
        heard, end = b"", time.monotonic() + 60
        while time.monotonic() < end:
            heard += socket.recv(timeout=patience(60))  # type: ignore[operator]
            if all(word.encode() in heard for word in words):
                return True
    return False


@pytest.mark.slow
def test_a_provider_signs_people_in_and_no_secret_is_logged(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_ = str(tmp_path / "people.sqlite3")
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", list_)
    monkeypatch.setattr(passwords, "COST", 2**4)
    people.add("anna@example.org", "viewer")
    token = people.issue_token("anna@example.org", "nightly")
    port = free_port()
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit/secrets.toml").write_text(
        f"""[auth]
redirect_uri = "http://localhost:{port}/oauth2callback"
cookie_secret = "{COOKIE_SECRET}"
client_id = "{CLIENT}"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"
""",
        "utf-8",
    )
    log = tmp_path / "log"
    settings = {"ACCESS": "oidc", "API_KEY": KEY, "PASSWORD": PASSWORD, "PEOPLE": list_}
    with (
        serving(tmp_path, port, log, **{f"SIGHTGLASS_{name}": value for name, value in settings.items()}) as address,
        httpx.Client(base_url=address, headers={"accept": "text/html"}, timeout=patience(60)) as browser,
    ):
        assert browser.get("/compare").headers["location"] == "/sign-in?next=/compare"
        with pytest.raises(InvalidStatus):
            connect(f"{address.replace('http', 'ws')}/_stcore/stream", origin=address)  # type: ignore[arg-type]

        # Somebody who is not on the list, then somebody whose address nobody has verified, then Anna.
        for claims, status in (
            ({"email": "eve@example.org", "email_verified": True}, 403),
            ({"email": "anna@example.org", "email_verified": False}, 303),
            ({"email": "Anna@example.org", "email_verified": True, "name": "Anna Ex"}, 200),
        ):
            provider.claims = claims
            browser.cookies.clear()
            browser.get("/sign-in/start", follow_redirects=True)
            assert browser.get("/").status_code == status
        assert seen(address, browser.cookies, "account", "Signed in as Anna Ex", "explores, and saves nothing")

        for sent in ({"x-api-key": KEY}, {"authorization": f"Bearer {token}"}, {"x-api-key": "wrong-" + KEY}):
            answer = httpx.get(f"{address}/api/models", headers=sent, timeout=patience(60))
            assert answer.status_code == (401 if "wrong-" + KEY in sent.values() else 200)
        httpx.post(f"{address}/sign-in", data={"name": "anna", "password": PASSWORD}, timeout=patience(60))

        cookies = [cookie.value or "" for cookie in browser.cookies.jar if cookie.name.startswith("_streamlit_user")]
        copied = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
        stolen = {"cookie": copied, "accept": "text/html"}
        assert httpx.get(address, headers=stolen, timeout=patience(60)).status_code == 200
        browser.get("/sign-out", follow_redirects=True)
        assert browser.get("/").status_code == 303
        assert httpx.get(address, headers=stolen, timeout=patience(60)).status_code == 303
        browser.get("/sign-in/start", follow_redirects=True)
        assert browser.get("/").status_code == 200
    said = log.read_text("utf-8")
    assert "signs in with the provider" in said
    told = [PASSWORD, KEY, token, CLIENT_SECRET, COOKIE_SECRET, *cookies]
    assert cookies
    assert not [secret for secret in told if secret in said]


@pytest.mark.slow
def test_a_password_signs_people_in_and_no_secret_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_, mine = str(tmp_path / "people.sqlite3"), "correct horse battery"
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", list_)
    people.add("anna", "admin", password=mine)
    log, port = tmp_path / "log", free_port()
    settings = {"ACCESS": "password", "API_KEY": KEY, "PASSWORD": PASSWORD, "PEOPLE": list_}
    with (
        serving(tmp_path, port, log, **{f"SIGHTGLASS_{name}": value for name, value in settings.items()}) as address,
        httpx.Client(base_url=address, timeout=patience(60)) as browser,
    ):
        for name, password in (("anna", mine + "x"), ("", PASSWORD), ("anna", mine)):
            browser.post("/sign-in", data={"name": name, "password": password})
        session = browser.cookies["sightglass_session"]
        assert seen(address, browser.cookies, "account", "Signed in as anna", "Add somebody")
        people.set_role("anna", "viewer")
        assert seen(address, browser.cookies, "account", "Signed in as anna", "explores, and saves nothing")
        people.remove("anna")
        with pytest.raises(InvalidStatus):
            seen(address, browser.cookies, "account", "Signed in as anna")
    said = log.read_text("utf-8")
    assert "asks for a password" in said
    assert not re.findall("|".join(map(re.escape, (PASSWORD, mine, KEY, session))), said)
