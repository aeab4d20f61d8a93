"""Is a standing node well, and does it serve: two questions that whoever watches over machines asks it.

``/healthz``: nothing here has to be mended by a person (store, certificate, disk, loop). ``/readyz``: it serves now;
a bank's node listens, a platform's has the line to its bank.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from party.metrics import Metrics, Sample, figures_of
from party.node import Node
from party.nodefile import BANK
from party.partners import PartnerState
from party.tables import jobs, partner_hellos
from psi.errors import VeiljoinError

# Certificates live a week and are renewed with more than two days left: a day means that renewing fails.
CERTIFICATE_DAYS: Final = 1.0
# Room for the chunks and the result of one large job.
FREE_BYTES: Final = 2 * 1024**3
# The loop turns twice a second, at a platform every three; a store that is locked holds it up for twenty.
TICK_SECONDS: Final = 90.0
# What a platform's line to its bank may be away before somebody should look.
OFFLINE_SECONDS: Final = 300.0
# A look at the store that is older than this is none any more.
_LOOK_SECONDS: Final = 60.0
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer: is it so, and the checks behind it."""

    ok: bool
    checks: Mapping[str, Mapping[str, Any]]


class Health:
    """What is known of how ``node`` is; counts into ``metrics`` as well.

    :meth:`tell` is called in the node's loop, everything else in the thread that answers.
    """

    def __init__(
        self,
        node: Node,
        metrics: Metrics,
        log_lost: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._metrics = metrics
        self._log_lost = log_lost
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._sample: Sample | None = None
        self._looked = self._ticked = self._offline_since = monotonic()
        self._online: set[str] = set()
        self._serving = False
        self._done: deque[Path] = deque(maxlen=1_000)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Note what happened. Quick."""
        self._metrics.tell(event)
        with self._lock:
            match event.get("event"):
                case "tick":
                    self._ticked = self._monotonic()
                case "listening" | "started":
                    self._serving = True
                case "stopping":
                    self._serving = False
                case "online":
                    self._online.add(str(event["partner"]))
                case "offline":
                    self._online.discard(str(event["partner"]))
                case "unreached":
                    if self._online:
                        self._offline_since = self._monotonic()
                    self._online.clear()
                case "result":
                    self._done.append(Path(str(event["folder"])))

    def look(self) -> None:
        """Look at the store, the certificate and the disk; may wait for a store that is locked or away."""
        try:
            sample = self._look()
            while self._done:
                # Once it is out of the queue it is not counted again, whatever comes of it.
                self._metrics.result(
                    figures_of(self._done.popleft(), self._node.file.role, self._node.home.store)
                )
        except (VeiljoinError, OSError):
            # The node's own log has the sentence, once it needs the store or the disk itself.
            sample = None
        with self._lock:
            self._sample, self._looked = sample, self._monotonic()
        self._metrics.look(sample, self._log_lost())

    def _look(self) -> Sample:
        node = self._node
        with node.home.store.reading() as connection:
            counted = connection.execute(
                sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
            ).all()
            hellos = connection.execute(sa.select(partner_hellos.c.partner, partner_hellos.c.skew)).all()
        current = node.credentials.current()
        partners = {each.name for each in node.partners.all() if each.state is PartnerState.ACTIVE}
        return Sample(
            jobs={str(state): int(number) for state, number in counted},
            expires=None if current is None else current.expires.timestamp(),
            free_bytes=shutil.disk_usage(node.home.folder).free,
            partners=partners,
            skews={str(row.partner): float(row.skew) for row in hellos if row.partner in partners},
        )

    def healthy(self) -> Verdict:
        """Return whether nothing has to be mended."""
        with self._lock:
            now = self._monotonic()
            sample = self._sample if now - self._looked < _LOOK_SECONDS else None
            tick = now - self._ticked
            online, away = len(self._online), now - self._offline_since
        checks: dict[str, Mapping[str, Any]] = {
            "store": {"ok": sample is not None},
            "loop": {"ok": tick < TICK_SECONDS, "last_tick_seconds": round(tick, 1)},
        }
        if sample is not None:
            days = 0.0
            if sample.expires is not None:
                days = (sample.expires - self._node.clock().timestamp()) / _DAY
            checks["certificate"] = {"ok": days > CERTIFICATE_DAYS, "days": round(days, 2)}
            checks["disk"] = {"ok": sample.free_bytes >= FREE_BYTES, "free_bytes": sample.free_bytes}
        partners: dict[str, Any] = {"ok": True, "online": online}
        if sample is not None:
            partners["known"] = len(sample.partners)
        if self._node.file.role != BANK and not online:
            partners |= {"ok": away < OFFLINE_SECONDS, "away_seconds": round(away, 1)}
        checks["partners"] = partners
        return Verdict(all(check["ok"] for check in checks.values()), checks)

    def ready(self) -> Verdict:
        """Return whether the node serves now."""
        with self._lock:
            now = self._monotonic()
            checks: dict[str, Mapping[str, Any]] = {
                "serving": {"ok": self._serving},
                "store": {"ok": self._sample is not None and now - self._looked < _LOOK_SECONDS},
                "loop": {"ok": now - self._ticked < TICK_SECONDS},
            }
            if self._node.file.role != BANK:
                checks["bank"] = {"ok": bool(self._online)}
        return Verdict(all(check["ok"] for check in checks.values()), checks)
