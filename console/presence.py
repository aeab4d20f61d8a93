"""What can be known, from beside a node, of when a partner was there.

The line between two nodes is known to the node's process alone. The store has when a partner greeted and when it had
its log cosigned last: a partner may well be on the line without either, so these are signs of it and no more.
"""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from party.node import Node
from party.tables import audit_partner_logs, audit_witnessed, partner_hellos


def heard(node: Node, partner: str) -> datetime.datetime | None:
    """Return when ``partner`` was last heard of: a greeting, or a checkpoint of its log; ``None``: never."""
    greeted = sa.select(partner_hellos.c.at).where(partner_hellos.c.partner == partner)
    logs = sa.select(audit_partner_logs.c.origin).where(audit_partner_logs.c.partner == partner)
    offered = sa.select(sa.func.max(audit_witnessed.c.at)).where(audit_witnessed.c.origin.in_(logs))
    with node.home.store.reading() as connection:
        times = [connection.scalar(greeted), connection.scalar(offered)]
    known = [at for at in times if at is not None]
    if not known:
        return None
    return datetime.datetime.fromtimestamp(max(known), datetime.UTC).astimezone(node.clock().tzinfo)
