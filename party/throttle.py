"""How often passwords may be tried: counted in the store, so that it holds across processes and restarts.

After five failures in a quarter of an hour nothing is checked for 1 minute, after the next one for 2, then 4, up to
15. They count against the name and against the address that the tries come from. Alone, that would let anybody keep
others out for ever, by failing under their name, or at an address that many share. So where a person logged in
lately, tries under their name count for that pair, and nothing that others do elsewhere or under other names keeps
them out there.

A try is counted before its password is looked at, and taken back if that was right: of many tries at once no more
pass than one after another.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from party.tables import login_places, login_tries

FAILURES: Final = 5
WINDOW: Final = 15 * 60.0
FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 15 * 60.0
# The oldest go first. A try costs a fifth of a second of hashing, so nobody pushes a row out before it has run out.
MAX_ROWS: Final = 10_000
_PLACES: Final = 20
_REMEMBERED: Final = 30 * 86_400.0
# Of an IPv6 address as much as one customer has (RFC 6177).
_IPV6_BITS: Final = 64


def keys_of(
    connection: sa.Connection, spelling: str, person: int | None, source: str, now: float
) -> tuple[str, ...]:
    """Return what a try under ``spelling``, the name of ``person`` if of anybody, from ``source`` counts against."""
    place = place_of(source)
    if person is not None:
        known = sa.select(login_places.c.at).where(
            login_places.c.person == person,
            login_places.c.place == place,
            login_places.c.at > now - _REMEMBERED,
        )
        if connection.execute(known).first() is not None:
            return (_digest("pair", str(person), place),)
    return (_digest("name", spelling), _digest("source", place))


def proof_key(person: int, source: str) -> str:
    """Return what tries of a person who is logged in count against: nobody outside can use them up."""
    return _digest("proof", str(person), place_of(source))


def paused(connection: sa.Connection, keys: Sequence[str], now: float) -> bool:
    """Return whether nothing is checked for any of ``keys`` at present."""
    query = (
        sa.select(login_tries.c.key).where(login_tries.c.key.in_(keys), login_tries.c.until > now).limit(1)
    )
    return connection.execute(query).first() is not None


def count(connection: sa.Connection, keys: Sequence[str], now: float) -> bool:
    """Count one more try against each of ``keys``, as a failure; ``False`` in a pause, when none is counted."""
    if paused(connection, keys, now):
        return False
    connection.execute(login_tries.delete().where(login_tries.c.forget <= now))
    for key in keys:
        row = connection.execute(sa.select(login_tries).where(login_tries.c.key == key)).first()
        failures, since = (1, now) if row is None else (row.failures + 1, row.since)
        if failures <= FAILURES and now - since > WINDOW:
            failures, since = 1, now
        until = now
        if failures >= FAILURES:
            until += min(FIRST_PAUSE * 2.0 ** min(failures - FAILURES, 10), LONGEST_PAUSE)
        values = {"failures": failures, "since": since, "until": until, "forget": until + WINDOW}
        if row is None:
            _make_room(connection)
            connection.execute(login_tries.insert().values(key=key, **values))
        else:
            connection.execute(login_tries.update().where(login_tries.c.key == key).values(**values))
    return True


def take_back(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Take back the try that was counted: the password was right.

    What is the person's own begins anew. An address that others share keeps what they failed, less this one.
    """
    own, shared = keys[:1], keys[1:]
    connection.execute(login_tries.delete().where(login_tries.c.key.in_(own)))
    for key in shared:
        row = connection.execute(sa.select(login_tries).where(login_tries.c.key == key)).first()
        if row is not None:
            # Whoever was let through met no pause, so that none is left of which this try was not the cause.
            values = {"failures": row.failures - 1, "until": row.since}
            connection.execute(login_tries.update().where(login_tries.c.key == key).values(**values))


def remember(connection: sa.Connection, person: int, source: str, now: float) -> None:
    """Remember that ``person`` logged in from ``source``, and of their other places the newest."""
    place = place_of(source)
    mine = login_places.c.person == person
    connection.execute(login_places.delete().where(mine, login_places.c.place == place))
    connection.execute(login_places.insert().values(person=person, place=place, at=now))
    newest = sa.select(login_places.c.at).where(mine).order_by(login_places.c.at.desc()).limit(_PLACES)
    oldest = min(connection.execute(newest).scalars())
    connection.execute(login_places.delete().where(mine, login_places.c.at < oldest))


def place_of(source: str) -> str:
    """Return ``source`` as it is counted: IPv6 by its network, since one machine has many addresses of it."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _IPV6_BITS), strict=False))


def _make_room(connection: sa.Connection) -> None:
    rows = connection.execute(sa.select(sa.func.count()).select_from(login_tries)).scalar_one()
    if rows >= MAX_ROWS:
        first = sa.select(login_tries.c.key).order_by(login_tries.c.forget).limit(rows - MAX_ROWS + 1)
        connection.execute(login_tries.delete().where(login_tries.c.key.in_(first)))


def _digest(*parts: str) -> str:
    # What is typed as a name may be a password by mistake, so it is not kept as it is.
    said = "\x00".join(parts).encode("utf-8", "backslashreplace")
    return hashlib.sha256(said).hexdigest()
