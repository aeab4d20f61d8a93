"""A log begun in a store, for tests of what is noted in it; and its entries, read back with every check."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from audit.entry import parse
from party.auditlog import AuditLog
from party.cosigning import LogSecrets, begin_log
from party.identity import new_identity
from party.store import Store


def begin(store: Store, role: str = "bank") -> AuditLog:
    """Begin a log of ``role`` in ``store``."""
    log = AuditLog(store)
    begin_log(
        log, LogSecrets(new_identity(), new_identity()), new_identity(), role, role, "veiljoin test", 0.0
    )
    return log


def entries(store: Store, *types: str, epoch: int | None = None) -> list[dict[str, Any]]:
    """Return the entries of the newest log, or that of ``epoch``: those of ``types``, or all."""
    log = AuditLog(store)
    facts = log.facts(epoch)
    if facts is None:
        return []
    read = [parse(data) for _, _, data in log.entries(facts.epoch)]
    assert [entry["sequence"] for entry in read] == list(range(len(read)))
    return [entry for entry in read if not types or entry["type"] in types]


def told(store: Store, *types: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return type, actor and facts of the entries after the log's first: those of ``types``, or all."""
    wanted = types or (*{entry["type"] for entry in entries(store)} - {"log_opened"},)
    return [(entry["type"], entry["actor"], entry["facts"]) for entry in entries(store, *wanted)]


_OPENINGS = ("BEGIN", "PRAGMA", "LOCK", "SET")


class Stopped(Exception):
    """A statement that was not run."""


@contextmanager
def stopping_at(number: int, how: Callable[[], None] | None = None) -> Iterator[None]:
    """Stop before the statement ``number`` (from 1) of the block: by an exception, or as ``how`` does it.

    What opens a transaction is not counted: there is nothing yet that could be left half done.
    """
    count = 0

    def before(connection: object, cursor: object, statement: str, *_: Any) -> None:
        nonlocal count
        count += not statement.startswith(_OPENINGS)
        if count == number:
            if how is not None:
                how()
            raise Stopped

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)


def killed_at(number: int, act: Callable[[], None]) -> bool:
    """Run ``act`` in a process of its own that dies before the statement ``number``; tells whether it came so far."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with stopping_at(number, lambda: os._exit(9)):
                act()
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(ended)
    assert code in (0, 9)
    return code == 9
