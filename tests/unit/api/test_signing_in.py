"""The dashboard's own server: signing in with a provider or a token, and no secret in any log."""

import base64
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from benchmarks.processes import free_port
from tests.servers import listening, running, visit
from tests.waits import patience

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-the-operator-of-32-letters"
CLIENT, CLIENT_SECRET, COOKIE_SECRET = "sightglass", "the-clients-own-secret", "a" * 20 + "the-secret-of-cookies"


def provider(claims: dict[str, Any]) -> Starlette:
    """A small provider of OpenID Connect: whoever asks is signed in as `claims` says, without a question."""
    key, codes = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}), dict[str, Any]()

    async def describe(request: Request) -> Response:
        issuer = str(request.base_url).rstrip("/")
        paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        about = {"code_challenge_methods_supported": ["S256"], "id_token_signing_alg_values_supported": ["RS256"]}
        return JSONResponse({"issuer": issuer, **{name: issuer + path for name, path in paths.items()}, **about})

    async def authorize(request: Request) -> Response:
        query, code = request.query_params, secrets.token_hex(8)
        assert (query["client_id"], query["response_type"]) == (CLIENT, "code")
        codes[code] = query
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}")

    async def exchange(request: Request) -> Response:
        """What a code is worth, once, for the client that asked for it."""
        form = dict(parse_qsl((await request.body()).decode()))
        query = codes.pop(form["code"])
        basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if (request.headers["authorization"], query["code_challenge"]) != (f"Basic {basic}", challenge.rstrip("=")):
            return JSONResponse({"error": "invalid_grant"}, 400)
        about = {"iss": str(request.base_url).rstrip("/"), "aud": CLIENT, "sub": "x7", "nonce": query["nonce"]}
        now = int(time.time())
        token = jwt.encode({"alg": "RS256", "kid": "one"}, about | {"iat": now, "exp": now + 300} | claims, key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": token, "expires_in": 300})

    async def keys(_request: Request) -> Response:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    routes = {"/.well-known/openid-configuration": describe, "/authorize": authorize, "/token": exchange, "/keys": keys}
    return Starlette(routes=[Route(path, answer, methods=["GET", "POST"]) for path, answer in routes.items()])


@contextmanager
def serving(folder: Path, issuer: str, log: Path) -> Iterator[str]:
    """The dashboard, at which this provider signs in; yields its address."""
    port = free_port()
    address = f"http://localhost:{port}"
    section = {"redirect_uri": f"{address}/oauth2callback", "cookie_secret": COOKIE_SECRET, "client_id": CLIENT}
    section |= {"client_secret": CLIENT_SECRET, "server_metadata_url": f"{issuer}/.well-known/openid-configuration"}
    (folder / ".streamlit").mkdir()
    table = "".join(f'{name} = "{value}"\n' for name, value in section.items())
    (folder / ".streamlit/secrets.toml").write_text(f"[auth]\n{table}", "utf-8")
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard.py"), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--logger.level=debug"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SIGHTGLASS_TOKEN": TOKEN}
    with log.open("wb") as out:
        options: Any = {"cwd": folder, "env": environment, "stdout": out, "stderr": out}
        with running(command, f"{address}/_stcore/health", log=log, **options):
            yield address


def page_shows(address: str, cookies: httpx.Cookies, page: str, *words: str) -> bool:
    """Whether a page's script says all of these, run for whoever has these cookies."""
    headers = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies.jar)}
    protocols = ["streamlit", cookies["_streamlit_xsrf"]]
    messages = visit(address, page, additional_headers=headers, origin=address, subprotocols=protocols)
    text = b"".join(message.SerializeToString() for message in messages)
    return all(word.encode() in text for word in words)


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


def test_a_provider_signs_people_in_and_no_secret_is_logged(tmp_path: Path) -> None:
    log, claims = tmp_path / "log", dict[str, Any]()
    with (
        listening(provider(claims)) as issuer,
        serving(tmp_path, issuer, log) as address,
        httpx.Client(base_url=address, headers={"accept": "text/html"}, timeout=patience(60)) as browser,
    ):
        # Strangers see the page that asks to sign in, and upload nothing.
        assert browser.get("/compare").status_code == 200
        assert browser.put("/_stcore/upload_file/a/b").status_code == 401
        for person, status in (
            ({"sub": "eve@example.org", "email": "anna@example.org", "email_verified": False}, 401),
            ({"email": "Anna@example.org", "email_verified": True}, 200),
        ):
            claims.clear()
            claims.update(person)
            browser.cookies.clear()
            browser.get(login_path(address), follow_redirects=True)
            assert browser.get("/api/models").status_code == status
            browser.get("/_stcore/health")
            assert page_shows(address, browser.cookies, "saved", "is not verified") == (status == 401)
        assert page_shows(address, browser.cookies, "saved", "Sign out", "You are signed in as Anna@example.org")
        cookies = [cookie.value or "" for cookie in browser.cookies.jar if cookie.name.startswith("_streamlit_user")]
        assert browser.get("/api/models", headers={"accept": "*/*"}).status_code == 200
        for sent, status in (({"x-api-key": TOKEN}, 200), ({"x-api-key": "wrong"}, 401)):
            assert httpx.get(f"{address}/api/models", headers=sent, timeout=patience(60)).status_code == status
        browser.get("/auth/logout", follow_redirects=True)
        assert browser.get("/api/models").status_code == 401
    logged = log.read_text("utf-8")
    assert "SIGHTGLASS_EMAILS names who may" in logged
    assert cookies and not [secret for secret in (TOKEN, CLIENT_SECRET, COOKIE_SECRET, *cookies) if secret in logged]
