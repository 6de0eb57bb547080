"""Sign-in form."""

from __future__ import annotations

import base64
import hashlib
import threading
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from sightglass.api.security.headers import ANSWERS, CSP, write
from sightglass.api.security.identity import COOKIE
from sightglass.common.access import attempts, passwords, people, policy
from sightglass.common.errors import Problem
from sightglass.common.locations import DASHBOARD
from sightglass.common.settings import settings

if TYPE_CHECKING:
    from starlette.requests import Request

PATH, START, OUT = "/sign-in", "/sign-in/start", "/sign-out"
MAX_FORM = 16 * 1024
"""Bytes of the form."""
WRONG = "Wrong name or password: try again."
WRONG_PASSWORD = "Wrong password: try again."
SHARED = '<p class="quiet">With the password that everybody shares, leave the name empty.</p>'
FORGOTTEN = '<p class="quiet">Forgotten? An administrator of this server can give you a new password.</p>'
_WAITING = threading.BoundedSemaphore(4)
"""Attempts that wait for their turn: each holds one of the few threads in which every request is asked who sends it."""
WAIT_SECONDS = 2
"""After which others may try again."""
_STYLE = """
:root { color-scheme: light dark; --ground: #f7f7f7; --card: #fff; --line: #dcdcdc; --text: #171717; --grey: #636363;
  --accent: #0b6f78; --on-accent: #fff; --wrong: #a3161a; --wrong-ground: #fdeeee }
@media (prefers-color-scheme: dark) { :root { --ground: #161616; --card: #222; --line: #383838; --text: #eaeaea;
  --grey: #a6a6a6; --accent: #22a0ac; --on-accent: #0b0b0b; --wrong: #ffb4ab; --wrong-ground: #3a1d1c } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px; background: var(--ground);
  color: var(--text); font: 15px/1.5 "Source Sans", "Source Sans 3", system-ui, sans-serif }
main { width: 100%; max-width: 360px; padding: 28px; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px }
img { display: block; width: 150px; height: auto; margin-bottom: 20px }
h1 { font-size: 20px; font-weight: 600; margin: 0 0 16px }
p { margin: 0 0 16px } .quiet { color: var(--grey); margin: 16px 0 0 }
label { display: block; font-weight: 600; margin-bottom: 12px }
input { display: block; width: 100%; margin-top: 4px; padding: 9px 10px; font: inherit; font-weight: 400;
  color: inherit;  background: var(--ground); border: 1px solid var(--grey); border-radius: 6px }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
button, .button { display: block; width: 100%; min-height: 44px; margin-top: 20px; padding: 10px; font: inherit;
  font-weight: 600; text-align: center; text-decoration: none; color: var(--on-accent); background: var(--accent);
  border: 0; border-radius: 6px; cursor: pointer }
[role=alert] { padding: 10px 12px; border-left: 3px solid var(--wrong); background: var(--wrong-ground);
  color: var(--wrong) }
[role=status] { padding: 10px 12px; border-left: 3px solid var(--accent); background: var(--ground) }
"""


def page(title: str, body: str, status: int = 200) -> Response:
    """Return a page of the sign-in screen; `body` is HTML."""
    logo = base64.b64encode((DASHBOARD / "assets/logo.svg").read_bytes()).decode()
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)} · Sightglass</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f'<body><main><img src="data:image/svg+xml;base64,{logo}" alt="Sightglass">'
        f"<h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    rules = {**ANSWERS, "style-src": f"'sha256-{style}'", "img-src": "data:", "form-action": "'self'"}
    return HTMLResponse(html, status, {"Cache-Control": "no-store", CSP: write(rules)})


def screen(request: Request, base: str) -> Response:
    """Return the screen of GET /sign-in."""
    said = "You are signed out." if "out" in request.query_params else ""
    return form(base, _target(request.query_params.get("next", ""), base), said=said)


def form(base: str, target: str, *, wrong: str = "", said: str = "", name: str = "", status: int = 200) -> Response:
    """Return the screen with what fits this server: a password, with a name if there are people, or a provider."""
    notes = (f'<p role="alert">{escape(wrong)}</p>' if wrong else "") + (
        f'<p role="status">{escape(said)}</p>' if said else ""
    )
    if policy.in_use().way == "oidc":
        return page("Sign in", f'{notes}<a class="button" href="{escape(base + START)}">Sign in with your account</a>')
    named = any(person.has_password for person in people.everybody())
    if not named and not settings().password:
        return page(
            "Nobody can sign in yet",
            "<p>The administrator of this server adds people with <code>sightglass users add</code>, or sets "
            "SIGHTGLASS_PASSWORD.</p>",
            503,
        )
    # With a shared password a name may stay empty.
    required = "" if settings().password else "required "
    name_field = (
        f'<label>Name<input name="name" value="{escape(name, quote=True)}" maxlength="{people.MAX_ID}" '
        f'autocomplete="username" autocapitalize="none" spellcheck="false" {required}'
        f"{'' if name else 'autofocus'}></label>"
    )
    return page(
        "Sign in",
        f'{notes}<form method="post" action="{escape(base + PATH)}">'
        f'<input type="hidden" name="next" value="{escape(target, quote=True)}">'
        f"{name_field if named else ''}"
        '<label>Password<input name="password" type="password" autocomplete="current-password" required '
        f'maxlength="{passwords.MAX_LENGTH}"{" autofocus" if name or not named else ""}></label>'
        f"<button>Sign in</button></form>{SHARED if named and settings().password else ''}{FORGOTTEN if named else ''}",
        status,
    )


async def submit(request: Request, base: str) -> Response:
    """Answer POST /sign-in: open a session, or show the screen again with one sentence."""
    if not _from_here(request):
        return page("Not allowed", "<p>This form was sent by another site's page: sign in here instead.</p>", 403)
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_FORM:
            return page("Too long", "<p>This is longer than a name and a password: go back and try again.</p>", 413)
    given = {key: values[0] for key, values in parse_qs(data.decode("utf-8", "replace")).items()}
    name, target = given.get("name", "").strip(), _target(given.get("next", ""), base)
    address = request.client.host if request.client else ""
    if wait := attempts.count(address, name):
        return _later(base, target, name, f"Too many attempts: try again in {wait} s.", wait)
    if not _WAITING.acquire(blocking=False):
        attempts.give_back(address, name, right=False)
        return _later(base, target, name, f"Many are signing in just now: try again in {WAIT_SECONDS} s.", WAIT_SECONDS)
    try:
        secret = await run_in_threadpool(_session, name, given.get("password", ""))
    except Problem as problem:
        return form(base, target, wrong=str(problem), name=name, status=503)
    finally:
        _WAITING.release()
    if secret is None:
        return form(base, target, wrong=WRONG if name else WRONG_PASSWORD, name=name, status=401)
    attempts.give_back(address, name)
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        COOKIE,
        secret,
        max_age=people.SESSION_SECONDS,
        path=base or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


def _later(base: str, target: str, name: str, wrong: str, wait: int) -> Response:
    answer = form(base, target, wrong=wrong, name=name, status=429)
    answer.headers["Retry-After"] = str(wait)
    return answer


def _session(name: str, password: str) -> str | None:
    """Return the secret of a new session for these, or None."""
    if name:
        person = attempts.with_password(name, password)
        return None if person is None else people.open_session(person.id)
    shared = settings().password
    if shared is None or not policy.is_same(password, shared.get_secret_value()):
        return None
    return people.open_session(policy.SHARED, brief=True)


def signed_out(request: Request, base: str) -> Response:
    """Answer GET /sign-out: end the session here, and that of a provider at the provider."""
    if not _from_here(request):
        return page("Sign out", f'<p><a class="button" href="{escape(base + OUT)}">Sign out</a></p>', 403)
    if policy.in_use().way == "oidc":
        return RedirectResponse(f"{base}/auth/logout", 303)
    if secret := request.cookies.get(COOKIE):
        people.close_session(people.digest(secret))
    answer = RedirectResponse(f"{base}{PATH}?out", 303)
    answer.delete_cookie(COOKIE, path=base or "/", httponly=True, samesite="lax")
    return answer


def stranger(id_: str, base: str) -> Response:
    """Return the page for somebody whom the provider or the proxy knows and the list does not."""
    again = (
        f'<p><a class="button" href="{escape(base + OUT)}">Sign in as somebody else</a></p>'
        if policy.in_use().way == "oidc"
        else ""
    )
    return page(
        "Not on the list",
        f"<p>You are signed in as {escape(id_)}, who is not on the list of this server. Ask its administrator, who "
        f"adds people with <code>sightglass users add</code>.</p>{again}",
        403,
    )


def _from_here(request: Request) -> bool:
    """Return whether a page of this server, or nobody's, led to the request; old browsers do not say."""
    origin = request.headers.get("origin")
    # A page that hides where it is says null, such as a frame without rights; those of this server do not hide.
    if origin is not None and origin.partition("://")[2] != request.headers.get("host", ""):
        return False
    return request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _target(wanted: str, base: str) -> str:
    """Return where to go after signing in: a path of this server, never another site."""
    start = f"{base}/"
    if not wanted.startswith(start) or wanted.startswith("//") or "\\" in wanted or not wanted.isprintable():
        return start
    return wanted if urlsplit(wanted).path not in (base + PATH, base + OUT) else start
