"""The log of a standing node: begun with its home, its keys sealed like all secrets, begun anew by a restore."""

from __future__ import annotations

import secrets as random
from typing import Final

from party.auditlog import AuditLog
from party.budget import Clock
from party.cosigning import Cosigning, LogSecrets, begin_log
from party.credentials import Credentials
from party.identity import new_identity
from party.nodefile import NodeFile
from party.store import Store
from party.vault import Vault
from party.version import SOFTWARE
from psi.errors import UsageError
from psi.secret import SigningSeed

_PURPOSE: Final = "log"


class OwnLog:
    """The log of the node of ``file``, in ``store``, with its keys in ``vault``."""

    def __init__(
        self, file: NodeFile, store: Store, vault: Vault, credentials: Credentials, clock: Clock
    ) -> None:
        self._file = file
        self._store = store
        self._vault = vault
        self._credentials = credentials
        self._clock = clock
        self._log = AuditLog(store)

    def ensure(self) -> None:
        """Begin the log, unless there is one, or no identity yet that could certify it."""
        if self._log.facts() is None and self._credentials.has_identity():
            self._begin(1)

    def begin_again(self) -> None:
        """Begin a new log: the store is from a backup, and partners have cosigned what the old log held after it."""
        epochs = self._log.epochs()
        if epochs:
            self._begin(epochs[-1] + 1)

    def cosigning(self) -> Cosigning:
        """Return the cosigning of the newest log. Raises ``UsageError`` if this node has none."""
        self.ensure()
        facts = self._log.facts()
        if facts is None:
            raise UsageError(
                "This node has no log yet, for it has no identity.",
                hint="finish `veiljoin server init` or `veiljoin client join` first",
                code="missing_file",
            )
        return Cosigning(self._store, self._secrets(facts.epoch), self._clock)

    def _begin(self, epoch: int) -> None:
        kept = self._vault.names()
        for name in _names(epoch):
            if name not in kept:
                self._vault.seal(name, new_identity(), purpose=_PURPOSE)
        # A name of its own for each log, also where one backup is put back twice; no node's name has a dot.
        name = self._file.name if epoch == 1 else f"{self._file.name}.{epoch}-{random.token_hex(4)}"
        identity, now = self._credentials.identity(), self._clock().timestamp()
        begin_log(self._log, self._secrets(epoch), identity, self._file.role, name, SOFTWARE, now)

    def _secrets(self, epoch: int) -> LogSecrets:
        keys = [self._vault.open(name, SigningSeed, purpose=_PURPOSE) for name in _names(epoch)]
        return LogSecrets(*keys)


def _names(epoch: int) -> tuple[str, str]:
    return f"log/{epoch}/checkpoints", f"log/{epoch}/cosignatures"
