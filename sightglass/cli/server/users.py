"""`users`: people who may sign in."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.access import people
from sightglass.common.errors import Problem
from sightglass.common.users import Role, owner

app = cli.group("Keep the list of people who may sign in, and their tokens.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name, or the e-mail address or id that a provider gives.")]
RoleOption = Annotated[
    Role, cli.option("--role ROLE", "admin: everything; user: their own things; viewer: looks, and saves nothing.")
]


@cli.verb(
    app,
    "list",
    """
    sightglass users list
    """,
)
def list_users(json: cli.Json = False) -> int:
    """List who may sign in, with roles, the numbers of their tokens, and what their folder in each store is called."""
    console = Console(json)
    found = [(person, people.tokens(person.id)) for person in people.everybody()]
    cells = [
        (
            person.id,
            person.role,
            "yes" if person.has_password else "no",
            ", ".join(f"{token.number} {token.label}".strip() for token in tokens),
            owner(person.user),
        )
        for person, tokens in found
    ]
    console.table(("name", "role", "password", "tokens", "folder"), cells)
    if not found:
        console.say("Nobody is on the list: add people with `users add NAME`.")
    rows = [
        {**asdict(person), "tokens": [*map(asdict, tokens)], "folder": owner(person.user)} for person, tokens in found
    ]
    console.result({"users": rows})
    return 0


@cli.verb(
    app,
    "add",
    """
    sightglass users add anna
    sightglass users add anna@example.org --role admin --no-password
    """,
)
def add(
    name: Name,
    role: RoleOption = "user",
    no_password: Annotated[
        bool, cli.option("--no-password", "For people who sign in with a provider or a proxy.")
    ] = False,
) -> int:
    """Add somebody; the password is asked for, or read from the first line of the standard input."""
    person = people.add(name, role, password=None if no_password else _password())
    # Another user of the machine, or another home, has another list: a frequent surprise.
    Console().say(f"{person.id} may sign in as {role}, by the list {people.path()}.")
    return 0


@cli.verb(
    app,
    "role",
    """
    sightglass users role anna viewer
    """,
)
def change_role(name: Name, role: Annotated[Role, typer.Argument(help="admin, user or viewer.")]) -> int:
    """Change somebody's role, at once."""
    people.set_role(name, role)
    Console().say(f"{people.clean_id(name)} is {role} now.")
    return 0


@cli.verb(
    app,
    "password",
    """
    sightglass users password anna
    """,
)
def change_password(name: Name) -> int:
    """Change somebody's password, and end this person's sessions and tokens."""
    people.set_password(name, _password())
    Console().say(f"The password of {people.clean_id(name)} is changed.")
    return 0


@cli.verb(
    app,
    "remove",
    """
    sightglass users remove anna
    """,
)
def remove(name: Name) -> int:
    """Take somebody off the list, with all sessions and tokens; what was saved stays."""
    people.remove(name)
    Console().say(f"{people.clean_id(name)} can no longer sign in.")
    return 0


@cli.verb(
    app,
    "token",
    """
    sightglass users token anna --label nightly
    """,
)
def token(
    name: Name,
    label: Annotated[str, cli.option("--label TEXT", "To tell it from others: the name of the program.")] = "",
) -> int:
    """Make a token with which a program uses the API as this person, and print it, once."""
    id_ = people.clean_id(name)
    if people.find(id_) is None:
        raise Problem(f"{id_} is not on the list: add this person first.")
    print(people.issue_token(id_, label))
    return 0


@cli.verb(
    app,
    "revoke",
    """
    sightglass users revoke anna 1f3a9c02
    """,
)
def revoke(name: Name, number: Annotated[str, typer.Argument(help="Its number in `users list`.")]) -> int:
    """End a token, at once."""
    people.revoke_token(people.clean_id(name), number)
    Console().say("The token is revoked.")
    return 0


def _password() -> str:
    """Ask for a password twice, without showing it; without a terminal, read one line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
