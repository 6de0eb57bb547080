"""Who is let in, to every page, socket, file and route."""

import hmac
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from sightglass.api import security
from sightglass.api.app import list_middleware
from sightglass.api.security import PAGES, AuthMiddleware, SecurityHeaders
from sightglass.common import access
from sightglass.common.errors import SettingProblem

LOCAL = ("localhost", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1", "unix:/tmp/s")
ADDRESSES = (None, "", "0.0.0.0", "::", "192.0.2.7", "example.org", "localhost.example.org")


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
def test_a_token_counts_on_every_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_TOKEN", "token")
    assert access.choose(host) == access.Access("token", "token")


def test_open_is_said_and_contradicts_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access.choose("0.0.0.0", open_to_all=True).way == "open"
    monkeypatch.setenv("SIGHTGLASS_OPEN", "1")
    assert "whoever reaches this address" in (access.announcement(access.choose("0.0.0.0")) or "")
    monkeypatch.setenv("SIGHTGLASS_TOKEN", "t")
    with pytest.raises(SettingProblem, match="SIGHTGLASS_TOKEN is set: remove one"):
        access.choose("0.0.0.0")


def test_local_needs_no_token_network_generates_one() -> None:
    for host in LOCAL:
        assert access.choose(host) == access.Access("local"), host
    for network in ADDRESSES:
        first, second = access.choose(network), access.choose(network)
        assert (first.way, first.generated, first.asks, len(first.token) >= 43) == ("token", True, True, True), network
        assert first.token != second.token


def test_short_token_warning_and_cookie() -> None:
    assert "can be guessed" in (access.announcement(access.Access("token", "hunter2")) or "")
    assert access.announcement(access.Access("token", "x" * 32)) is None
    assert "hunter2" not in repr(access.Access("token", "hunter2"))
    first, second = access.Access("token", "one"), access.Access("token", "other")
    assert first.accepts_cookie(first.cookie()) and "one" not in first.cookie()
    assert not any(first.accepts_cookie(wrong) for wrong in (second.cookie(), "one", ""))
    assert not access.Access().accepts("")


TOKEN = "the token: schlüssel und geheimnis"
HTML = {"accept": "text/html,*/*"}
BEARER = {"authorization": f"Bearer {TOKEN}".encode()}
GUARDED = ["/", "/compare", "/docs/index.html", "/media/0a1b.jpg", "/component/x/y.js", "/static/js/index.js"]
GUARDED += ["/_stcore/host-config", "/_stcore/metrics", "/_stcore/upload_file/session/file", "/_stcore/healthy"]
GUARDED += ["/api/models", "/api/metrics", "/api/explain", "/api/healthy", "/api/models/api/health"]
GUARDED += ["/predict_with_gradcam", "/view_heatmap", "/mcp", "/anything/else"]
SOCKETS = ("/_stcore/stream", "/api/live")
LOCALHOST, NETWORK = "http://localhost:8501", "http://here:8501"


async def whoami(request: Request) -> Response:
    return JSONResponse({"query": str(request.query_params)})


async def stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def client(address: str = NETWORK, *, server: str = "192.0.2.7", **more: Any) -> TestClient:
    """A browser at a dashboard: everything that Streamlit's would answer, and the API with its own middleware."""
    api = Starlette(
        routes=[WebSocketRoute("/api/live", stream), Route("/api/{path:path}", whoami, methods=["GET", "POST"])],
        middleware=list_middleware(),
    )

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await api({**scope, "root_path": ""}, receive, send)

    app = AuthMiddleware(
        Starlette(
            routes=[
                Mount("/api", mounted),
                WebSocketRoute("/_stcore/stream", stream),
                Route("/{path:path}", whoami, methods=["GET", "POST", "PUT", "DELETE"]),
            ]
        ),
        **more,
    )

    async def at(scope: Scope, receive: Receive, send: Send) -> None:
        await SecurityHeaders(app, PAGES)({**scope, "server": (server, 8501)}, receive, send)

    return TestClient(at, base_url=address, follow_redirects=False)


def opens(browser: TestClient, path: str, **headers: Any) -> bool:
    address = str(browser.base_url).replace("http", "ws", 1).rstrip("/")
    try:
        with browser.websocket_connect(f"{address}{path}", headers=headers):
            return True
    except WebSocketDisconnect:
        return False


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(way: access.Way, token: str = "", *, generated: bool = False) -> None:
        monkeypatch.setattr(access, "_IN_USE", [access.Access(way, token, generated)])

    return install


def test_on_localhost_everything_is_answered() -> None:
    browser = client(LOCALHOST, server="127.0.0.1")
    for path in GUARDED:
        assert browser.get(path, headers=HTML).status_code == 200, path
    assert all(opens(browser, path, origin=LOCALHOST) for path in SOCKETS)


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"cookie": "sightglass-8501=wrong"}, HTML])
def test_a_network_address_refuses_strangers_everything(headers, rules):
    rules("token", TOKEN)
    browser = client()
    for path in GUARDED:
        for method in ("GET", "POST", "PUT", "HEAD"):
            answer = browser.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert TOKEN not in answer.text
    assert not any(opens(browser, path, **headers) for path in SOCKETS)
    for path in ("/_stcore/health", "/api/health", "/api/health/ready", "/api/docs"):
        assert browser.get(path).status_code == 200


def test_token_in_address_becomes_cookie(rules: Callable[..., None]) -> None:
    rules("token", TOKEN)
    browser = client("https://here:8501")
    answer = browser.get("/detect", params={"model": "demo-s", "token": TOKEN}, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/detect?model=demo-s")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Secure", "Path=/;"))
    assert access.in_use().cookie() in cookie and TOKEN not in cookie
    for path in GUARDED:
        assert browser.get(path, headers=HTML).status_code == 200, path
    assert all(opens(browser, path, origin="https://here:8501") for path in SOCKETS)
    # A bookmark with the token leads on without it.
    assert browser.get("/", params={"token": TOKEN}).headers["location"] == "/"
    rules("token", "another, after a new start")
    assert browser.get("/", headers=HTML).status_code == 401


def test_tokens_are_compared_in_constant_time(rules: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    rules("token", TOKEN)
    compared: list[bytes] = []
    equal = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append(one) or equal(one, other))
    assert client().get("/api/models", headers={"x-api-key": "wrong"}).status_code == 401
    assert b"wrong" in compared


def test_a_form_takes_the_token_without_scripts(rules: Callable[..., None]) -> None:
    rules("token", TOKEN)
    browser = client(base="/below")
    asked = browser.get("/below/detect?model=demo-s", headers=HTML)
    assert asked.status_code == 401
    assert "<form>" in asked.text and "<script" not in asked.text
    for wrong in ("wrong", "x" * 5000):
        answer = browser.get("/below/detect", params={"token": wrong}, headers=HTML)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        assert "This token is wrong" in answer.text
    answer = browser.get("/below/detect", params={"token": f" {TOKEN} "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/below/detect")
    assert "Path=/below;" in answer.headers["set-cookie"]
    # It leads to no other site.
    for path in ("//evil.example/", "/\\evil.example", "//evil.example/%0d%0aset-cookie:x"):
        location = client().get(f"{NETWORK}{path}", params={"token": TOKEN}).headers["location"]
        assert location.startswith("/") and not location.startswith(("//", "/\\"))


def test_programs_send_the_token(rules: Callable[..., None]) -> None:
    rules("token", TOKEN)
    browser = client()
    for sent in (BEARER, {"authorization": f"bearer {TOKEN}".encode()}, {"x-api-key": TOKEN.encode()}):
        for path in ("/api/models", "/"):
            assert browser.get(path, headers=sent).status_code == 200
    # One that is right is enough, whatever a proxy adds.
    assert browser.get("/api/models", headers=BEARER | {"x-api-key": b"wrong"}).status_code == 200
    for sent in ({"authorization": f"Basic {TOKEN}".encode()}, {"x-api-key": b"the token"}):
        answer = browser.get("/api/models", headers=sent)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["detail"].endswith("send it as `Authorization: Bearer ...` or `X-API-Key`.")


@pytest.mark.parametrize("header", security.FORWARDED)
def test_a_proxy_in_front_of_localhost_is_refused(header: str) -> None:
    browser, sent = client(LOCALHOST, server="127.0.0.1"), {header: "192.0.2.9"}
    for path in GUARDED:
        answer = browser.get(path, headers=sent)
        assert answer.status_code == 403 and "SIGHTGLASS_TOKEN" in answer.text
    assert not any(opens(browser, path, **sent) for path in SOCKETS)
    assert browser.get("/api/health", headers=sent).status_code == 200


@pytest.mark.parametrize("server", ["127.0.0.1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["evil.example:8501", "localhost.evil.example", "127.0.0.1.evil.example", "[::1"])
def test_rebound_host_name_is_refused(server, host, monkeypatch):
    browser = client(LOCALHOST, server=server)
    for path in ("/", "/api/models", "/media/0a1b.jpg"):
        assert "SIGHTGLASS_API_HOSTS" in browser.get(path, headers={"host": host}).json()["detail"]
    assert not any(opens(browser, path, host=host, origin=f"http://{host}") for path in SOCKETS)
    assert browser.get("/api/health", headers={"host": host}).status_code == 200
    monkeypatch.setenv("SIGHTGLASS_API_HOSTS", "*" if "[" in host else f"other, {host.partition(':')[0]}")
    assert browser.get("/api/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8501", "LOCALHOST", "127.0.0.1:8501", "[::1]:8501", "[::1]", "0.0.0.0:1"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    sent = {"host": host, "origin": f"http://{host}"}
    assert client(LOCALHOST, server="127.0.0.1").get("/api/models", headers=sent).status_code == 200


OTHERS = ["http://elsewhere.example", "null", "http://here:8502", "http://here:8501.evil.example", "http://[::1", ""]


@pytest.mark.parametrize("origin", OTHERS)
def test_another_sites_page_opens_nothing_with_the_cookie(origin: str, rules: Callable[..., None]) -> None:
    rules("token", TOKEN)
    browser = client()
    browser.get("/", params={"token": TOKEN})
    assert all(opens(browser, path, origin=NETWORK) for path in SOCKETS)
    assert not any(opens(browser, path, origin=origin) for path in SOCKETS)
    for path in ("/api/models", "/api/health", "/predict_with_gradcam"):
        assert browser.get(path, headers={"origin": NETWORK}).status_code == 200
        assert "SIGHTGLASS_API_ORIGINS" in browser.get(path, headers={"origin": origin}).json()["detail"]
        # A proxy may add the token to whatever a browser sends.
        assert browser.get(path, headers={"origin": origin} | BEARER).status_code == 403


def test_named_origin_is_allowed(rules, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_API_ORIGINS", "https://sketch.example, http://other.example:3000/")
    rules("token", TOKEN)
    browser = client()
    wants = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for origin, status in (("https://sketch.example", 200), ("http://other.example:3000", 200), (NETWORK, 400)):
        asked = browser.options("/api/explain", headers=wants | {"origin": origin})
        assert asked.status_code == status
        assert asked.headers.get("access-control-allow-origin") == (origin if status == 200 else None)
    answer = browser.get("/api/models", headers={"origin": "https://sketch.example"} | BEARER)
    assert answer.headers["access-control-allow-origin"] == "https://sketch.example"
    cookie = f"sightglass-8501={access.in_use().cookie()}"
    assert opens(browser, "/_stcore/stream", origin="https://sketch.example", cookie=cookie)


@pytest.mark.parametrize(
    ("framed", "sites"), [("", ""), ("https://a.org, https://b.org", " https://a.org https://b.org")]
)
def test_every_answer_says_what_a_browser_may_do_with_it(framed, sites, rules, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_FRAMED_BY", framed)
    rules("token", TOKEN)
    browser = client()
    for path, headers in (("/", HTML), ("/", BEARER), ("/api/models", BEARER), ("/api/models", {}), ("/x", {})):
        answer = browser.get(path, headers=headers)
        policy = answer.headers["content-security-policy"]
        assert policy.endswith(f"frame-ancestors 'self'{sites}")
        assert "default-src 'none'" in policy or "default-src 'self'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "microphone=()" in answer.headers["permissions-policy"]


def test_cross_site_request_is_refused() -> None:
    browser = client(LOCALHOST, server="127.0.0.1")
    assert browser.get("/api/models", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.get("/api/models", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    # A link to what tells nothing may be followed.
    assert browser.get("/api/docs", headers={"sec-fetch-site": "cross-site"}).status_code == 200
    for scheme, origin, status in (("http", "https", 200), ("https", "http", 403)):
        browser = client(f"{scheme}://localhost:8501", server="127.0.0.1")
        assert browser.get("/api/models", headers={"origin": f"{origin}://localhost:8501"}).status_code == status
