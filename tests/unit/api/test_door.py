"""The door of the dashboard's server: every page, socket, file and route asks who it is, in each way of signing in."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sightglass.api.schemas import ApiRules
from sightglass.api.security import door, sign_in
from sightglass.api.security.door import Door
from sightglass.api.security.identity import COOKIE, PEER
from sightglass.api.server import middleware, uvicorn_internals
from sightglass.common import users
from sightglass.common.access import attempts, passwords, people, policy, rates, visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

PASSWORD, KEY = "correct horse battery", "the operator's key"
GUARDED = [
    "/",
    "/compare",
    "/media/0a1b.jpg",
    "/component/x/y.js",
    "/static/js/index.js",
    door.AGAIN,
    "/_stcore/metrics",
    "/_stcore/upload_file/session/file",
    "/_stcore/healthy",
    "/_stcore/health/of-a-page",
    "/api/models",
    "/api/explain",
    "/api/docs",
    "/predict_with_gradcam",
    "/auth/login",
    "/anything/else",
]
HTML = {"accept": "text/html,*/*"}


async def whoami(request: Request) -> Response:
    """Who it is, as the code behind the door sees it, and what a page's script would be told."""
    user = users.current()
    return JSONResponse({"id": user.id, "role": user.role, "visit": request.headers.get(visit.HEADER)})


async def stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"id": users.current().id, "visit": socket.headers.get(visit.HEADER)})
    await socket.close()


class Peer:
    """Stands in for uvicorn: whose connection it is."""

    def __init__(self, app: ASGIApp, address: str) -> None:
        self.app, self.address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, PEER: (self.address, 1)}, receive, send)


class Nowhere:
    """Stands in for uvicorn at a socket of this machine's, behind a proxy whose headers it believes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, PEER: None, "client": ("10.0.0.7", 0)}, receive, send)


def behind() -> Starlette:
    """What stands behind the door: everything Streamlit's would, and the API with its own middleware."""
    api = middleware.wrap(Starlette(routes=[Route("/api/{path:path}", whoami, methods=["GET", "POST"])]), ApiRules())

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await api({**scope, "root_path": ""}, receive, send)

    return Starlette(
        routes=[
            Mount("/api", mounted),
            WebSocketRoute("/_stcore/stream", stream),
            Route("/{path:path}", whoami, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )


def client(*, base: str = "", provider: Any = None, peer: str = "192.0.2.9", **more: Any) -> TestClient:
    app = Peer(Door(behind(), base=base, provider=provider, **more), peer)
    return TestClient(app, base_url="http://here:8501", follow_redirects=False)


@pytest.fixture(autouse=True)
def own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people.sqlite3"))
    monkeypatch.setattr(passwords, "COST", 2**4)
    for limiter in (attempts._PASSWORDS, attempts._KEYS, attempts._KEY.limiter, attempts._SHARED.limiter):
        limiter._buckets.clear()
    for noted in (attempts._wrong, attempts._KEY.known, attempts._SHARED.known):
        noted.clear()
    rates._limiter.cache_clear()
    yield
    policy.install(policy.Policy())


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(name: str) -> None:
        monkeypatch.setenv("SIGHTGLASS_ACCESS", name)
        policy.install(policy.of("0.0.0.0"))

    return install


def signed_in(name: str = "anna", role: Any = "user", **options: Any) -> TestClient:
    people.add(name, role, password=PASSWORD)
    opened = client(**options)
    assert opened.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303
    return opened


def test_on_this_machine_nobody_signs_in_and_everything_is_answered() -> None:
    opened = client()
    for path in GUARDED:
        answer = opened.get(path, headers={"origin": "http://here:8501"})
        assert answer.json() == {"id": "local", "role": "admin", "visit": None}
    assert opened.get("/sign-in").json()["id"] == "local"


@pytest.mark.parametrize("way_in", ["password", "oidc", "proxy"])
@pytest.mark.parametrize("path", GUARDED)
def test_a_stranger_gets_nothing_of_anything(
    path: str, way_in: str, way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROXY_HEADER", "X-Forwarded-User")
    monkeypatch.setenv("SIGHTGLASS_PROXIES", "10.0.0.1")
    way(way_in)
    if way_in == "oidc" and path.startswith("/auth/"):
        return
    opened = client()
    forged = {visit.HEADER: "e30.0", "x-forwarded-user": "anna", "cookie": f"{COOKIE}=x; =; a b", "x-api-key": "sg_x"}
    for headers in ({}, forged):
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = opened.request(method, path, headers=headers)
            kind = "application/json" if path == door.AGAIN else "application/problem+json"
            assert (answer.status_code, answer.headers["content-type"]) == (401, kind)
        page = opened.get(path, headers=headers | HTML)
        assert page.status_code == (403 if way_in == "proxy" else 303)
        assert '"id"' not in page.text


@pytest.mark.parametrize("way_in", ["password", "oidc"])
@pytest.mark.parametrize("path", ["/_stcore/stream", "/api/live", "/elsewhere"])
def test_no_socket_opens_for_a_stranger(path: str, way_in: str, way: Callable[[str], None]) -> None:
    way(way_in)
    with pytest.raises(WebSocketDisconnect) as closed, client().websocket_connect(path):
        pass
    assert closed.value.code == 1008


@pytest.mark.parametrize("path", ["/_stcore/health", "/api/health", "/api/problems/key"])
def test_whether_the_server_is_alive_is_no_secret(path: str, way: Callable[[str], None]) -> None:
    way("password")
    assert client().get(path).json()["id"] == ""


def test_who_signed_in_is_known_to_pages_sockets_and_the_api(way: Callable[[str], None]) -> None:
    way("password")
    opened = signed_in()
    for path in GUARDED:
        assert opened.get(path).json()["id"] == "anna"
    headers = {visit.HEADER: "forged", "cookie": f"{COOKIE}={opened.cookies[COOKIE]}"}
    with opened.websocket_connect("/_stcore/stream", headers=headers) as socket:
        told = socket.receive_json()
    assert told["id"] == "anna"
    found = visit.unseal(told["visit"])
    assert found is not None
    assert found.user() == users.User("anna", "anna", "user")


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    given = {"name": "anna", "password": PASSWORD}
    plain = client(base="/sight").post("/sight/sign-in", data=given).headers["set-cookie"].lower()
    assert {"httponly", "samesite=lax", "path=/sight"} <= {part.strip() for part in plain.split(";")}
    assert "secure" not in plain
    tls = TestClient(client().app, base_url="https://here", follow_redirects=False)
    assert "secure" in tls.post("/sign-in", data=given).headers["set-cookie"].lower()


def test_streamlits_own_cookies_go_over_no_open_line_either(way: Callable[[str], None]) -> None:
    async def callback(request: Request) -> Response:
        made = JSONResponse({})
        made.set_cookie("_streamlit_user", "secure", httponly=True)
        made.set_cookie("_streamlit_xsrf", "0", secure=True)
        return made

    way("oidc")
    app = Door(Starlette(routes=[Route("/oauth2callback", callback)]))
    said = {}
    for scheme in ("http", "https"):
        given = TestClient(app, base_url=f"{scheme}://here").get("/oauth2callback").headers.get_list("set-cookie")
        said[scheme] = [one.lower().split("; ").count("secure") for one in given]
    assert said == {"http": [0, 1], "https": [1, 1]}


def test_an_open_page_hears_nothing_more_once_its_person_is_off_the_list(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fragments(socket: WebSocket) -> None:
        await socket.accept()
        async for asked in socket.iter_text():
            await socket.send_text(f"{asked} for {users.current().id}")

    monkeypatch.setattr(door, "ASK_AGAIN_SECONDS", 0.0)
    way("password")
    cookie = signed_in().cookies[COOKIE]
    opened = TestClient(Door(Starlette(routes=[WebSocketRoute("/_stcore/stream", fragments)])))
    with opened.websocket_connect("/_stcore/stream", headers={"cookie": f"{COOKIE}={cookie}"}) as socket:
        socket.send_text("a fragment")
        assert socket.receive_text() == "a fragment for anna"
        people.remove("anna")
        socket.send_text("another")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_signing_out_ends_the_session_on_the_server(way: Callable[[str], None]) -> None:
    way("password")
    opened = signed_in()
    cookie = opened.cookies[COOKIE]
    other = opened.get("/sign-out", headers={"sec-fetch-site": "cross-site"})
    assert (other.status_code, opened.get("/").status_code) == (403, 200)
    assert opened.get("/sign-out").headers["location"] == "/sign-in?out"
    assert "You are signed out." in opened.get("/sign-in?out").text
    again = client()
    again.cookies[COOKIE] = cookie
    assert again.get("/").status_code == 401


def test_a_wrong_password_is_one_sentence_and_tells_nothing_of_names(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    opened = client()
    said = {
        opened.post("/sign-in", data={"name": name, "password": "wrong"}).text.replace(name, "")
        for name in ("anna", "ben")
    }
    assert len(said) == 1
    assert sign_in.WRONG in said.pop()
    assert COOKIE not in opened.cookies


def test_attempts_are_limited_by_address_and_by_name(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    opened = client()
    codes = [opened.post("/sign-in", data={"name": "anna", "password": "wrong"}).status_code for _ in range(11)]
    assert codes == [401] * 10 + [429]
    refused = opened.post("/sign-in", data={"name": "ben", "password": PASSWORD})
    assert int(refused.headers["retry-after"]) > 0
    assert "Too many attempts" in refused.text
    # From elsewhere this name has to wait too.
    elsewhere = TestClient(opened.app, client=("198.51.100.1", 1), base_url="http://here:8501", follow_redirects=False)
    assert elsewhere.post("/sign-in", data={"name": "anna", "password": PASSWORD}).status_code == 429
    # In letters of double width it is the same name.
    assert elsewhere.post("/sign-in", data={"name": "ａnna", "password": PASSWORD}).status_code == 429


def test_a_flood_of_attempts_keeps_no_threads_from_others(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    opened, right = client(), {"name": "anna", "password": PASSWORD}
    held = 0
    while sign_in._WAITING.acquire(blocking=False):
        held += 1
    try:
        # They do not count as attempts.
        answers = [opened.post("/sign-in", data=right) for _ in range(20)]
    finally:
        for _ in range(held):
            sign_in._WAITING.release()
    assert held < 10
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in answers} == {(429, "2")}
    assert "Many are signing in just now" in answers[0].text
    assert opened.post("/sign-in", data=right).status_code == 303


def test_attempts_from_a_network_of_ones_own_count_together_and_lock_nobody_out(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)

    def attempt(address: str, name: str, password: str = "wrong") -> int:
        there = TestClient(Door(behind()), client=(address, 1), base_url="http://here:8501", follow_redirects=False)
        return there.post("/sign-in", data={"name": name, "password": password}).status_code

    assert [attempt(f"2001:db8::{number:x}", f"name{number}") for number in range(11)] == [401] * 10 + [429]
    assert {attempt("2001:db8::1", "anna") for _ in range(12)} == {429}
    assert attempt("198.51.100.1", "anna", PASSWORD) == 303


def test_guesses_at_the_password_of_all_are_slowed_over_all_addresses(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, second: Callable[[], None]
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PASSWORD", PASSWORD)
    way("password")
    people.add("anna", "user", password=PASSWORD)

    def attempt(address: str, password: str, name: str = "") -> int:
        there = TestClient(Door(behind()), client=(address, 1), base_url="http://here:8501", follow_redirects=False)
        return there.post("/sign-in", data={"name": name, "password": password}).status_code

    assert attempt("198.51.100.1", PASSWORD) == 303
    codes = [attempt(f"203.0.113.{number}", "wrong") for number in range(40)]
    assert codes == [401] * 30 + [429] * 10
    assert attempt("203.0.113.200", PASSWORD) == 429
    # Not who had it right before, nor people with passwords of their own, nor who comes later.
    assert attempt("198.51.100.1", PASSWORD) == 303
    assert attempt("203.0.113.200", PASSWORD, "anna") == 303
    second()
    second()
    assert attempt("203.0.113.200", PASSWORD) == 303


@pytest.mark.parametrize(
    ("proxies", "said", "counted"),
    [
        ("", "203.0.113.1", "127.0.0.1"),
        ("10.0.0.7", "203.0.113.1", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("127.0.0.1,10.0.0.9/8", "198.51.100.1, 203.0.113.1, 10.0.0.7", "203.0.113.1"),
    ],
)
def test_an_address_is_taken_from_a_trusted_proxy_only(
    monkeypatch: pytest.MonkeyPatch, proxies: str, said: str, counted: str
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROXIES", proxies)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.setattr(ProxyHeadersMiddleware, "__call__", uvicorn_internals._remember_peer)

    async def address(request: Request) -> Response:
        assert request.client is not None
        return JSONResponse([request.client.host, request.scope[PEER][0], request.url.scheme])

    app: Any = ProxyHeadersMiddleware(Starlette(routes=[Route("/", address)]))  # type: ignore[arg-type]
    asked = TestClient(app, client=("127.0.0.1", 1)).get(
        "/", headers={"X-Forwarded-For": said, "X-Forwarded-Proto": "https"}
    )
    assert asked.json() == [counted, "127.0.0.1", "https"]


@pytest.mark.parametrize(
    ("way_in", "path", "allowed"),
    [
        ("password", "/sign-in", "GET, HEAD, POST"),
        ("proxy", "/sign-in", "GET, HEAD"),
        ("oidc", "/sign-in/start", "GET, HEAD"),
        ("password", "/sign-out", "GET, HEAD"),
    ],
)
def test_signing_in_takes_its_own_methods_only(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, way_in: str, path: str, allowed: str
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROXY_HEADER", "X-Forwarded-User")
    monkeypatch.setenv("SIGHTGLASS_PROXIES", "10.0.0.7")
    monkeypatch.setenv("SIGHTGLASS_PASSWORD", PASSWORD)
    way(way_in)
    opened = client()
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "NONSENSE"}:
        answer = opened.request(method, path)
        assert (answer.status_code == 405) == (method not in allowed.split(", ")), method
        assert answer.status_code != 405 or answer.headers["allow"] == allowed


def test_one_password_for_all_opens_the_door_without_a_list(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PASSWORD", PASSWORD)
    way("password")
    opened = client()
    assert 'name="name"' not in opened.get("/sign-in").text
    assert sign_in.WRONG_PASSWORD in opened.post("/sign-in", data={"password": "wrong"}).text
    assert opened.post("/sign-in", data={"password": PASSWORD}).status_code == 303
    assert opened.get("/").json() == {"id": "shared", "role": "user", "visit": None}
    assert not people.path().exists()


def test_while_nobody_can_sign_in_the_screen_says_what_to_do(way: Callable[[str], None]) -> None:
    way("password")
    answer = client().get("/sign-in")
    assert answer.status_code == 503
    assert "users add" in answer.text


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/compare?example=china&x=%3C", "/compare?example=china&x=%3C"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/sign-out", "/"),
        ('/"><script>', "/%22%3E%3Cscript%3E"),
    ],
)
def test_signing_in_leads_to_the_page_that_was_wanted_and_to_no_other_site(
    wanted: str, target: str, way: Callable[[str], None]
) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    answer = client().post("/sign-in", data={"name": "anna", "password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == target


def test_a_stranger_comes_back_to_the_page_with_its_query(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    opened = client(base="/sight")
    screen = opened.get("/sight/compare?example=china&q=a%26b", headers=HTML)
    assert screen.headers["location"] == "/sight/sign-in?next=/sight/compare%3Fexample%3Dchina%26q%3Da%2526b"
    assert 'value="/sight/compare?example=china&amp;q=a%26b"' in opened.get(screen.headers["location"]).text


@pytest.mark.parametrize("hostile", ['"><script>alert(1)</script>', "'onfocus=alert(1) x='", "<img src=x>"])
def test_what_is_typed_is_text_on_the_screen(hostile: str, way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    answer = client().post("/sign-in", data={"name": hostile, "password": "x", "next": "/" + hostile})
    assert hostile not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://["}, {"sec-fetch-site": "cross-site"}],
)
def test_another_sites_form_signs_nobody_in(headers: Mapping[str, str], way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    answer = client().post("/sign-in", data={"name": "anna", "password": PASSWORD}, headers=dict(headers))
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


class Loopback:
    """Stands in for a server that only this machine reaches."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "server": ("127.0.0.1", 8501)}, receive, send)


def test_a_site_whose_name_is_made_to_lead_here_gets_no_page_and_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    policy.install(policy.of("localhost"))
    evil = TestClient(Loopback(Door(behind())), base_url="http://evil.example:8501")
    for path in ("/", "/media/0a1b.jpg", "/_stcore/upload_file/session/file"):
        assert "SIGHTGLASS_API_HOSTS" in evil.get(path).json()["detail"]
    with pytest.raises(WebSocketDisconnect), evil.websocket_connect("/_stcore/stream"):
        pass
    assert evil.get("/_stcore/health").status_code == 200
    assert TestClient(Loopback(Door(behind())), base_url="http://127.0.0.1:8501").get("/").status_code == 200
    monkeypatch.setenv("SIGHTGLASS_API_HOSTS", "evil.example")
    assert evil.get("/").status_code == 200


def test_a_form_that_is_no_form_is_one_sentence(way: Callable[[str], None]) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    assert client().post("/sign-in", content=b"x" * 20_000).status_code == 413
    assert client().post("/sign-in", content=b"\xff&&=&name").status_code == 401


def test_a_list_that_is_broken_lets_nobody_in_and_says_so(way: Callable[[str], None]) -> None:
    way("password")
    opened = signed_in()
    people.path().write_bytes(b"no database at all" * 100)
    answer = opened.get("/api/models")
    assert answer.status_code == 500
    assert "cannot be used" in answer.json()["detail"]


def test_a_token_acts_as_its_owner_and_the_key_as_the_operator(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_KEY", KEY)
    way("password")
    people.add("ben", "viewer")
    token = people.issue_token("ben", "")
    opened = client()
    assert opened.get("/api/models", headers={"authorization": f"Bearer {token}"}).json()["id"] == "ben"
    assert opened.get("/api/models", headers={"x-api-key": KEY}).json()["id"] == "local"
    wrong = opened.get("/api/models", headers={"x-api-key": token[:-1]})
    assert "The key or token is wrong" in wrong.json()["detail"]
    people.revoke_token("ben", people.tokens("ben")[0].number)
    assert opened.get("/api/models", headers={"x-api-key": token}).status_code == 401


def ask(opened: TestClient, secret: str, address: str = "192.0.2.1") -> Any:
    there = TestClient(opened.app, client=(address, 1), base_url="http://here:8501", follow_redirects=False)
    return there.get("/api/models", headers={"x-api-key": secret})


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let a second pass for the limits, and no time otherwise."""
    now = 1000.0
    monkeypatch.setattr(rates, "time", SimpleNamespace(monotonic=lambda: now))

    def wait() -> None:
        nonlocal now
        now += 1

    return wait


@pytest.fixture
def guarded_by_key(way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("SIGHTGLASS_API_KEY", KEY)
    way("password")
    return client()


def test_guesses_at_the_key_are_slowed_by_address_and_keep_no_token_out(guarded_by_key: TestClient) -> None:
    people.add("ben", "viewer")
    token = people.issue_token("ben", "")
    guesses = [ask(guarded_by_key, f"{secret} {number}") for number in range(6) for secret in ("guess", "sg_guess")]
    assert [answer.status_code for answer in guesses] == [401] * 10 + [429] * 2
    # While it has to wait, nobody learns whether the key was right.
    refused = ask(guarded_by_key, KEY)
    assert (refused.status_code, refused.json()["type"]) == (429, "/api/problems/busy")
    assert int(refused.headers["retry-after"]) > 0
    assert "Too many wrong keys" in refused.json()["detail"]
    assert ask(guarded_by_key, token).json()["id"] == "ben"
    assert ask(guarded_by_key, KEY, "198.51.100.1").json()["id"] == "local"


def test_the_same_wrong_key_again_and_again_counts_once(guarded_by_key: TestClient) -> None:
    people.add("ben", "viewer")
    revoked = people.issue_token("ben", "")
    people.revoke_token("ben", people.tokens("ben")[0].number)
    assert {ask(guarded_by_key, revoked).status_code for _ in range(30)} == {401}
    assert ask(guarded_by_key, KEY).status_code == 200


def test_guesses_from_everywhere_are_slowed_and_who_had_the_key_before_is_not(
    guarded_by_key: TestClient, second: Callable[[], None]
) -> None:
    assert ask(guarded_by_key, KEY, "198.51.100.1").status_code == 200
    codes = []
    for number in range(120):
        codes.append(ask(guarded_by_key, f"guess {number}", f"203.0.113.{number}").status_code)
        if number % 2:
            second()
    assert codes.count(401) == 59
    assert set(codes) == {401, 429}
    assert ask(guarded_by_key, "the last", "203.0.113.200").status_code == 401
    assert ask(guarded_by_key, KEY, "203.0.113.201").status_code == 429
    assert ask(guarded_by_key, KEY, "198.51.100.1").status_code == 200


def test_a_right_key_counts_for_nothing(guarded_by_key: TestClient) -> None:
    assert {ask(guarded_by_key, KEY).status_code for _ in range(15)} == {200}
    assert [ask(guarded_by_key, f"guess {n}").status_code for n in range(11)] == [401] * 10 + [429]


def test_who_has_signed_in_is_let_in_whatever_a_proxy_adds(guarded_by_key: TestClient) -> None:
    opened = signed_in()
    answers = [opened.get("/api/models", headers={"authorization": f"Bearer of the proxy {n}"}) for n in range(20)]
    assert {answer.json()["id"] for answer in answers} == {"anna"}
    assert ask(opened, KEY, "testclient").status_code == 429


def test_a_cookie_does_not_let_another_sites_page_use_the_api(way: Callable[[str], None]) -> None:
    way("password")
    opened = signed_in()
    assert opened.post("/api/explain", headers={"origin": "http://here:8501"}).status_code == 200
    assert opened.post("/api/explain", headers={"origin": "http://evil.example"}).status_code == 403
    assert opened.get("/api/models", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_a_page_of_another_port_opens_no_socket_of_a_page(way: Callable[[str], None]) -> None:
    def opens(asked: TestClient, origin: str | None) -> bool:
        try:
            headers = {"origin": origin} if origin else {}
            with asked.websocket_connect("ws://here:8501/_stcore/stream", headers=headers) as socket:
                return bool(socket.receive_json())
        except WebSocketDisconnect as refused:
            assert refused.code == door.REFUSED
            return False

    nobody_signs_in = TestClient(Door(behind()), base_url="http://here:8501")
    way("password")
    named = signed_in(is_named=lambda origin: origin == "https://named.example")
    policy.install(policy.Policy())
    for asked, way_in in ((nobody_signs_in, "local"), (named, "password")):
        policy.install(policy.Policy(way_in))  # type: ignore[arg-type]
        assert opens(asked, None)
        assert opens(asked, "http://here:8501")
        # At a proxy that speaks TLS.
        assert opens(asked, "https://here:8501")
        for origin in ("http://here:8502", "http://here", "http://evil.example", "null", "http://[", ""):
            assert opens(asked, origin) == (not origin), origin
        assert opens(asked, "https://named.example") == (asked is named)


def test_a_site_that_is_named_may_ask_before_it_sends_a_token_and_no_other_learns_anything(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_ORIGINS", "https://lab.example")
    way("password")
    opened, asked = client(), {"access-control-request-method": "POST"}
    named = opened.options("/api/explain", headers=asked | {"origin": "https://lab.example"})
    assert named.status_code == 200
    assert named.headers["access-control-allow-origin"] == "https://lab.example"
    assert "access-control-allow-credentials" not in named.headers
    for site in ("https://lab.example", "https://evil.example"):
        assert opened.options("/api/explain", headers={"origin": site}).status_code in (401, 403)
    other = opened.options("/api/explain", headers=asked | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert opened.options("/", headers=asked | {"origin": "https://lab.example"}).status_code == 401


def test_a_proxys_word_counts_from_its_own_address_only(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROXY_HEADER", "X-Forwarded-User")
    monkeypatch.setenv("SIGHTGLASS_PROXIES", "10.0.0.0/24")
    way("proxy")
    people.add("jürgen@example.org", "admin")
    named = {"x-forwarded-user": "Jürgen@example.org".encode()}
    # uvicorn puts the browser's address, which a header claims, in the place of the connection's.
    trusted, direct = client(peer="10.0.0.7"), client(peer="192.0.2.9")
    assert trusted.get("/", headers=named).json() == {"id": "jürgen@example.org", "role": "admin", "visit": None}
    assert direct.get("/", headers=named).status_code == 401
    assert "only through the proxy" in direct.get("/", headers=named | HTML).text
    assert trusted.get("/").status_code == 401
    assert "header X-Forwarded-User" in trusted.get("/", headers=HTML).text
    # A socket of this machine's has no other end; uvicorn takes the browser's word for it where it trusts all proxies.
    nowhere = TestClient(Nowhere(Door(behind())), base_url="http://here:8501")
    assert nowhere.get("/", headers=named).status_code == 401
    # One that the browser sent beside the proxy's own.
    assert trusted.get("/", headers=[("x-forwarded-user", b"eve"), *named.items()]).status_code == 401
    # Letters of double width: to the proxy this is somebody else.
    assert trusted.get("/", headers={"x-forwarded-user": "ｊürgen@example.org".encode()}).status_code == 401
    stranger = trusted.get("/", headers=HTML | {"x-forwarded-user": "<b>eve</b>"})
    assert stranger.status_code == 403
    assert "&lt;b&gt;eve&lt;/b&gt;, who is not on the list" in stranger.text


class Provider:
    """Stands in for Streamlit's part of OpenID Connect: a cookie that says it all."""

    def claims(self, cookies: Mapping[str, str]) -> dict[str, Any] | None:
        return json.loads(bytes.fromhex(cookies["claims"])) if "claims" in cookies else None

    def login_path(self) -> str:
        return "/auth/login?provider=token"


@pytest.mark.parametrize(
    ("claims", "who"),
    [
        ({"email": "Anna@example.org", "email_verified": True, "name": "Anna"}, "anna@example.org"),
        ({"email": "anna@example.org", "email_verified": False}, None),
        ({"email": "anna@example.org", "email_verified": "true"}, None),
        ({"email": "anna@example.org"}, None),
        ({"email": "eve@example.org", "email_verified": True}, None),
        ({"email": "anna@example.org", "email_verified": True, "iat": 1_000_000}, None),
        ({"sub": "anna@example.org"}, None),
        ({}, None),
    ],
)
def test_a_providers_claims_count_if_they_are_verified_listed_and_fresh(
    claims: dict[str, Any], who: str | None, way: Callable[[str], None]
) -> None:
    way("oidc")
    people.add("anna@example.org", "viewer")
    opened = client(provider=Provider())
    opened.cookies["claims"] = json.dumps(claims).encode().hex()
    answer = opened.get("/")
    assert (answer.json()["id"] if answer.status_code == 200 else None) == who


def test_signing_in_with_a_provider_begins_and_ends_there(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    way("oidc")
    opened = client(provider=Provider())
    assert 'href="/sign-in/start"' in opened.get("/sign-in").text
    assert opened.get("/sign-in/start").headers["location"] == "/auth/login?provider=token"
    for path in ("/auth/login", "/auth/logout", "/oauth2callback"):
        assert opened.get(path).json()["id"] == ""
    assert opened.get("/sign-out").headers["location"] == "/auth/logout"
    monkeypatch.setenv("SIGHTGLASS_OIDC_CLAIM", "sub")
    monkeypatch.setenv("SIGHTGLASS_NEWCOMERS", "viewer")
    opened.cookies["claims"] = json.dumps({"sub": "a1B2", "name": "Anna"}).encode().hex()
    assert opened.get("/").json() == {"id": "a1B2", "role": "viewer", "visit": None}


def test_signing_out_ends_a_providers_word_in_open_pages_and_copies_of_the_cookie(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(socket: WebSocket) -> None:
        await socket.accept()
        async for asked in socket.iter_text():
            await socket.send_text(f"{asked} for {users.current().id}: {socket.headers[visit.HEADER]}")

    monkeypatch.setattr(door, "ASK_AGAIN_SECONDS", 0.0)
    way("oidc")
    people.add("anna@example.org", "user")
    claims = {"email": "anna@example.org", "email_verified": True, "nonce": "1"}
    first, second = (json.dumps(claims | {"nonce": number}).encode().hex() for number in "12")
    routes = [WebSocketRoute("/_stcore/stream", page), Route("/{path:path}", whoami)]
    opened = TestClient(Door(Starlette(routes=routes), provider=Provider()), follow_redirects=False)
    with opened.websocket_connect("/_stcore/stream", headers={"cookie": f"claims={first}"}) as socket:
        socket.send_text("a fragment")
        words, _, sealed = socket.receive_text().partition(": ")
        assert words == "a fragment for anna@example.org"
        said = visit.unseal(sealed)
        assert said is not None
        assert said.user() is not None
        assert opened.get("/auth/logout", headers={"cookie": f"claims={first}"}).status_code == 200
        assert said.user() is None
        socket.send_text("another")
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()
    assert opened.get("/", headers={"cookie": f"claims={first}"}).status_code == 401
    # The next sign-in, and one in another browser.
    assert opened.get("/", headers={"cookie": f"claims={second}"}).status_code == 200


def test_a_list_that_cannot_be_written_keeps_nobody_from_signing_out(
    way: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way("oidc")
    monkeypatch.setenv("SIGHTGLASS_NEWCOMERS", "user")
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "a file" / "people.sqlite3"))
    opened = client(provider=Provider())
    opened.cookies["claims"] = json.dumps({"email": "anna@example.org", "email_verified": True}).encode().hex()
    assert opened.get("/auth/logout").json()["id"] == "anna@example.org"


def test_each_person_may_ask_so_often_and_is_told_when_again(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_REQUESTS_PER_MINUTE", "60")
    way("password")
    anna, ben = signed_in("anna"), signed_in("ben")
    answers = [anna.get("/api/models") for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 5 <= len(refused) <= 10
    assert int(refused[-1].headers["retry-after"]) >= 1
    assert "try again in" in refused[-1].json()["detail"]
    assert ben.get("/api/models").status_code == 200
    # Pages and their files do not count: one page is a hundred of them.
    assert anna.get("/static/js/index.js").status_code == 200
    assert anna.put("/_stcore/upload_file/session/file").status_code == 429


def test_every_answer_says_what_a_browser_may_do_with_it(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("local", "password"):
        if name == "password":
            way(name)
        for path in ["/", "/sign-in", "/media/0a1b.jpg", "/_stcore/health", "/api/health", "/api/models", "/sign-out"]:
            headers = client().get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cache-control"] in ("private", "no-store")
            assert "camera=(self)" in headers["permissions-policy"]
            assert "microphone=()" in headers["permissions-policy"]
            assert "frame-ancestors 'self'" in headers["content-security-policy"]
            assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
    monkeypatch.setenv("SIGHTGLASS_FRAMED_BY", "https://huggingface.co")
    framed = client().get("/sign-in").headers
    assert framed["content-security-policy"].endswith("frame-ancestors 'self' https://huggingface.co")
    assert "x-frame-options" not in framed


def test_the_screen_says_what_to_do_with_a_shared_password_and_a_forgotten_one(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    way("password")
    people.add("anna", "user", password=PASSWORD)
    assert "leave the name empty" not in client().get("/sign-in").text
    monkeypatch.setenv("SIGHTGLASS_PASSWORD", "shared by all of us")
    assert "leave the name empty" in client().get("/sign-in").text
    assert "Forgotten?" in client().get("/sign-in").text


def test_behind_a_proxy_of_this_machine_who_signed_in_has_the_api_under_the_site_s_name(
    way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightglass.api.security.host_names.is_loopback", lambda _text: True)
    way("password")
    opened = signed_in()
    at_the_site = {"host": "sightglass.example.org", "origin": "http://sightglass.example.org"}
    assert opened.get("/api/models", headers=at_the_site).json()["id"] == "anna"
    assert opened.get("/api/models", headers={**at_the_site, "origin": "http://evil.example"}).status_code == 403
