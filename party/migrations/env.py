"""What Alembic runs around the revisions: they work on the connection and in the transaction that it is given."""

from __future__ import annotations

from alembic import context

from party.tables import METADATA

_given = context.config.attributes
context.configure(
    connection=_given["connection"],
    target_metadata=METADATA,
    version_table=_given["revision_table"],
    # SQLite can undo a CREATE TABLE too, where the transaction was begun by hand, as the store does.
    transactional_ddl=True,
)
context.run_migrations()
