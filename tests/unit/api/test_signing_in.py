"""The dashboard's own server: signing in with a provider or a token, and no secret in any log."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from benchmarks.processes import free_port
from tests.servers import until_it_answers, visit
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-the-operator-of-32-letters"
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
        at, issuer = urlsplit(self.path), self.server.issuer
        given = dict(parse_qsl(at.query))
        if at.path == "/authorize":
            assert (given["client_id"], given["response_type"]) == (CLIENT, "code")
            code = secrets.token_hex(8)
            self.server.codes[code] = given
            self.send_response(302)
            query = urlencode({"code": code, "state": given["state"]})
            self.send_header("Location", f"{given['redirect_uri']}?{query}")
            self.end_headers()
        elif at.path == "/keys":
            self._json({"keys": [self.server.key.as_dict(private=False)]})
        else:
            paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            about = {"code_challenge_methods_supported": ["S256"], "id_token_signing_alg_values_supported": ["RS256"]}
            self._json({"issuer": issuer, **{name: issuer + path for name, path in paths.items()}, **about})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        found = self.server.token(dict(parse_qsl(body)))
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
def serving(folder: Path, port: int, log: Path, *, host: str = "127.0.0.1", **environment: str) -> Iterator[str]:
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard.py"), "--server.headless=true"]
    command += [f"--server.port={port}", f"--server.address={host}", "--logger.level=debug"]
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
    protocols = ["streamlit", cookies["_streamlit_xsrf"]]
    messages = visit(address, page, additional_headers=headers, origin=address, subprotocols=protocols)
    said = b"".join(message.SerializeToString() for message in messages)
    return all(word.encode() in said for word in words)


def login_path(address: str) -> str:
    """Click the button to sign in on the page that strangers see; return where it leads."""
    with connect(
        f"{address.replace('http', 'ws', 1)}/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]
        origin=address,  # type: ignore[arg-type]
        max_size=None,
    ) as socket:
        buttons, request = list[str](), BackMsg()
        request.rerun_script.query_string = ""
        while True:
            socket.send(request.SerializeToString())
            kind = ""
            while kind != "script_finished":
                message = ForwardMsg.FromString(socket.recv(timeout=patience(60)))
                kind = str(message.WhichOneof("type"))
                if kind == "auth_redirect":
                    return str(message.auth_redirect.url)
                if kind == "delta" and message.delta.new_element.WhichOneof("type") == "button":
                    buttons.append(message.delta.new_element.button.id)
            (button,) = set(buttons)
            state = request.rerun_script.widget_states.widgets.add()
            state.id, state.trigger_value = button, True


def test_a_provider_signs_people_in_and_no_secret_is_logged(provider: Provider, tmp_path: Path) -> None:
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
    with (
        serving(tmp_path, port, log, SIGHTGLASS_TOKEN=TOKEN) as address,
        httpx.Client(base_url=address, headers={"accept": "text/html"}, timeout=patience(60)) as browser,
    ):
        # Strangers see the page that asks to sign in, and upload nothing.
        assert browser.get("/compare").status_code == 200
        assert browser.put("/_stcore/upload_file/a/b").status_code == 401
        for claims, status in (
            ({"sub": "eve@example.org", "email": "anna@example.org", "email_verified": False}, 401),
            ({"email": "Anna@example.org", "email_verified": True}, 200),
        ):
            provider.claims = claims
            browser.cookies.clear()
            browser.get(login_path(address), follow_redirects=True)
            assert browser.get("/api/models").status_code == status
            browser.get("/_stcore/health")
            assert seen(address, browser.cookies, "saved", "is not verified") == (status == 401)
        assert seen(address, browser.cookies, "saved", "Sign out", "You are signed in as Anna@example.org")
        cookies = [cookie.value or "" for cookie in browser.cookies.jar if cookie.name.startswith("_streamlit_user")]
        assert browser.get("/api/models", headers={"accept": "*/*"}).status_code == 200
        for sent, status in (({"x-api-key": TOKEN}, 200), ({"x-api-key": "wrong"}, 401)):
            assert httpx.get(f"{address}/api/models", headers=sent, timeout=patience(60)).status_code == status
        browser.get("/auth/logout", follow_redirects=True)
        assert browser.get("/api/models").status_code == 401
    said = log.read_text("utf-8")
    assert "SIGHTGLASS_EMAILS names who may" in said
    assert cookies
    assert not [secret for secret in (TOKEN, CLIENT_SECRET, COOKIE_SECRET, *cookies) if secret in said]
