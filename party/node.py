"""A standing node's home, opened: its settings, store, secrets and partners in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from party.authority import StandingAuthority
from party.budget import Clock, local_clock
from party.credentials import Credentials
from party.enrolment import Enrolments
from party.home import STORE_FILE, Home
from party.identity import public_identity
from party.nodefile import BANK, NodeFile, Ports, load_node
from party.ownlog import OwnLog
from party.partners import Partners
from party.policydigest import note_in_force
from party.store import require_store
from party.vault import Vault, open_vault
from psi.errors import UsageError


@dataclass(frozen=True, slots=True)
class Node:
    """An open home of a node; a context manager that closes its store."""

    file: NodeFile
    home: Home
    vault: Vault
    credentials: Credentials
    partners: Partners
    log: OwnLog
    clock: Clock

    @classmethod
    def open(cls, folder: Path, clock: Clock = local_clock, *, role: str | None = None) -> Node:
        """Open the home ``folder``. Raises ``UsageError`` if it is no node's, or that of another ``role``."""
        file = load_node(folder)
        if role is not None and file.role != role:
            other = "server" if file.role == BANK else "client"
            raise UsageError(
                f"{folder} is the home of a {file.role}, not of a {role}.",
                hint=f"use the commands of `veiljoin {other}`, or another --home",
            )
        if file.store is None:
            require_store(folder / STORE_FILE)
        return cls.assemble(file, Home.open(folder, clock, file.store), clock)

    @classmethod
    def assemble(cls, file: NodeFile, home: Home, clock: Clock = local_clock) -> Node:
        """Put a node together from an open home."""
        vault = open_vault(home.folder, home.store, clock)
        credentials = Credentials(home.store, vault, clock)
        log = OwnLog(file, home.store, vault, credentials, clock)
        node = cls(file, home, vault, credentials, Partners(home.store, clock), log, clock)
        node.settle_log()
        return node

    def settle_log(self) -> None:
        """Begin the log where there is an identity and no log yet; note policy and settings, unless it has them."""
        self.log.ensure()
        note_in_force(self.home.store, self.home.policy, self.file, self.clock().timestamp())

    @property
    def ports(self) -> Ports:
        """A bank's ports. Raises ``UsageError`` at a platform."""
        if self.file.ports is None:
            raise UsageError("A platform's node listens on no port.", hint="it dials the bank")
        return self.file.ports

    def authority(self) -> StandingAuthority:
        """Return the bank's authority. Raises ``UsageError`` if this home has none."""
        return StandingAuthority.load(self.home.store, self.vault, self.clock)

    def enrolments(self) -> Enrolments:
        """Return the bank's enrolments. Raises ``UsageError`` at a platform."""
        identity = public_identity(self.credentials.identity())
        return Enrolments(self.home.store, self.authority(), identity, self.ports.address, self.clock)

    def close(self) -> None:
        """Close the store."""
        self.home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
