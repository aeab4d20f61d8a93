"""``veiljoin console person``: who may log in to the console of a node."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from audit.words import word
from cli.server import actor, shown_time
from party.node import Node
from party.passwords import one_time
from party.people import People, Person, Role
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "added": "{name} can log in as {roles}.",
        "handed": "Hand this password over to {name}; it has to be changed at the first login:",
        "roles": "{name} is {roles} from the next request on.",
        "password": "{name} has a new password; sessions with the old one have ended.",
        "disabled": "{name} is kept out from now on; sessions have ended, tokens are not taken.",
        "enabled": "{name} can log in again.",
        "none": "There are no accounts yet; `veiljoin console person add NAME --role administrator` makes the first.",
        "state_disabled": "disabled",
        "state_must_change": "has to change the password",
        "since": "since {created}",
        "join": ", ",
    },
    "zh": {
        "added": "{name} 可以登录，角色：{roles}。",
        "handed": "请把此密码交给 {name}；首次登录时必须更改：",
        "roles": "{name} 自下一次请求起的角色：{roles}。",
        "password": "{name} 的密码已更新；使用旧密码的会话已结束。",
        "disabled": "{name} 已停用；会话已结束，访问令牌不再有效。",
        "enabled": "{name} 可以重新登录。",
        "none": "还没有账号；用 `veiljoin console person add NAME --role administrator` 建立第一个。",
        "state_disabled": "已停用",
        "state_must_change": "必须更改密码",
        "since": "建立于 {created}",
        "join": "、",
    },
}
_LONGEST_FILE: Final = 4_096


def add(arguments: argparse.Namespace) -> int:
    """Make an account; returns the exit status."""
    with _people(arguments) as people:
        secret, handed = _new_password(arguments)
        wanted = {Role(each) for each in arguments.roles}
        person = people.add(arguments.name, secret, wanted, actor(arguments), must_change=handed)
    _tell(arguments, "added", person, secret if handed else None)
    return 0


def show(arguments: argparse.Namespace) -> int:
    """List the accounts; returns the exit status."""
    with _people(arguments) as people:
        persons = people.all()
    if arguments.json:
        print(json.dumps({"people": [_facts(each) for each in persons]}, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    for each in persons:
        states = [text[f"state_{name}"] for name in ("disabled", "must_change") if getattr(each, name)]
        since = text["since"].format(created=shown_time(each.created))
        said = text["join"].join((_roles_in(each.roles, arguments.lang), since, *states))
        print(f"{each.name:<24}  {said}")
    if not persons:
        print(text["none"])
    return 0


def roles(arguments: argparse.Namespace) -> int:
    """Give a person other roles; returns the exit status."""
    with _people(arguments) as people:
        wanted = {Role(each) for each in arguments.roles}
        person = people.set_roles(arguments.name, wanted, actor(arguments))
    _tell(arguments, "roles", person)
    return 0


def password(arguments: argparse.Namespace) -> int:
    """Set a password; returns the exit status."""
    with _people(arguments) as people:
        secret, handed = _new_password(arguments)
        people.set_password(arguments.name, secret, actor(arguments), must_change=handed)
        person = people.get(arguments.name)
    _tell(arguments, "password", person, secret if handed else None)
    return 0


def disable(arguments: argparse.Namespace) -> int:
    """Keep a person out; returns the exit status."""
    with _people(arguments) as people:
        people.disable(arguments.name, actor(arguments))
        person = people.get(arguments.name)
    _tell(arguments, "disabled", person)
    return 0


def enable(arguments: argparse.Namespace) -> int:
    """Let a person in again; returns the exit status."""
    with _people(arguments) as people:
        people.enable(arguments.name, actor(arguments))
        person = people.get(arguments.name)
    _tell(arguments, "enabled", person)
    return 0


@contextmanager
def _people(arguments: argparse.Namespace) -> Iterator[People]:
    with Node.open(arguments.home) as node:
        yield People(node.home.store, node.clock)


def _new_password(arguments: argparse.Namespace) -> tuple[str, bool]:
    """Return the password, and whether it is handed over, so that it has to be changed. Raises ``UsageError``."""
    path: Path | None = arguments.password_file
    if path is None:
        return one_time(), True
    try:
        if str(path) == "-":
            line = sys.stdin.readline(_LONGEST_FILE)
        else:
            with path.open(encoding="utf-8") as file:
                line = file.readline(_LONGEST_FILE)
    except OSError as error:
        raise UsageError(
            f"The password file {path} cannot be read: {error.strerror}.",
            hint="name a file whose first line is the password",
            code="unreadable_file",
        ) from None
    except UnicodeDecodeError:
        raise UsageError(
            f"The password file {path} is not UTF-8.",
            hint="name a text file whose first line is the password",
            code="bad_encoding",
        ) from None
    return line.rstrip("\r\n"), False


def _tell(arguments: argparse.Namespace, said: str, person: Person, secret: str | None = None) -> None:
    if arguments.json:
        more = {} if secret is None else {"password": secret}
        print(json.dumps(_facts(person) | more, ensure_ascii=False))
        return
    text = _TEXT[arguments.lang]
    facts = {"name": person.name, "roles": _roles_in(person.roles, arguments.lang)}
    if secret is None:
        print(text[said].format(**facts))
        return
    # The password alone on standard output, so that it can be piped.
    print(text[said].format(**facts), file=sys.stderr)
    print(text["handed"].format(**facts), file=sys.stderr, flush=True)
    print(secret)


def _facts(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "roles": sorted(person.roles),
        "disabled": person.disabled,
        "must_change": person.must_change,
        "created": person.created.isoformat(timespec="seconds"),
    }


def _roles_in(roles: frozenset[Role], language: str) -> str:
    return _TEXT[language]["join"].join(word(each, language) for each in sorted(roles))
