"""The store's schema and its history, kept by Alembic and run from here; nobody needs Alembic's command.

A revision that stores may have is never changed; what comes later is a new one. Stores older than the first
migration carry their version in ``schema_version``: version 1 is revision 0001, and is adopted with its data.
"""

from __future__ import annotations

import threading
from typing import Final

import sqlalchemy as sa

from psi.errors import UsageError

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
HEAD: Final = REVISIONS[-1]
# Not Alembic's own name for it: the database may be shared with another application.
REVISION_TABLE: Final = "schema_revision"
# Alembic keeps what it works on in module globals.
_ONE_AT_A_TIME: Final = threading.Lock()


def current(connection: sa.Connection) -> str | None:
    """Return the store's revision, or what else it says of its version; ``None`` for a new store."""
    inspector = sa.inspect(connection)
    if inspector.has_table(REVISION_TABLE):
        revision = connection.execute(sa.text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar()  # noqa: S608
        if revision is not None:
            return str(revision)
    if not inspector.has_table("schema_version"):
        return None
    version = connection.execute(sa.text("SELECT version FROM schema_version")).scalar()
    return REVISIONS[0] if version == 1 else str(version)


def upgrade(connection: sa.Connection, name: str) -> None:
    """Bring the store to :data:`HEAD` within the transaction of ``connection``, which keeps others out.

    Raises ``UsageError`` that tells ``name``, if the store is of a newer version.
    """
    found = current(connection)
    if found == HEAD:
        return
    if found is not None and found not in REVISIONS:
        raise UsageError(
            f"The store {name} is of version {found}, and this program knows {HEAD}.",
            hint="use the version of the program that wrote it, or a newer one",
            code="bad_format",
        )
    # Here, since it takes half a second to import, which most commands need not wait for.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "revision_table": REVISION_TABLE})
    config.set_main_option("script_location", "party:migrations")
    config.set_main_option("path_separator", "os")
    with _ONE_AT_A_TIME:
        if found is not None and not sa.inspect(connection).has_table(REVISION_TABLE):
            command.stamp(config, found)
        command.upgrade(config, "head")
