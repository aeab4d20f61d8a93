"""A bank and nodes for tests of enrolment, in memory and on a clock of their own."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from party.address import Address, parse_address
from party.authority import StandingAuthority
from party.certificates import TlsKey, new_tls_key, public_key, request
from party.credentials import Credentials
from party.enrolment import Enrolments
from party.identity import new_identity, public_identity
from party.invitation import Invitation, fingerprint, prove, prove_identity
from party.partners import Partners
from party.store import Store
from party.vault import Vault, open_vault
from psi.secret import SigningSeed
from tests.party.blankstore import write_store
from veiljoin.control_messages import EnrolReply, EnrolRequest

ENROL_AT = parse_address("bank.example:7444", "test")
NODE_AT = parse_address("bank.example:7443", "test")
SOFTWARE = "veiljoin test"


class Clock:
    """A clock that tests move; it begins now, as certificates are also judged by the real one."""

    def __init__(self) -> None:
        self.time = datetime.datetime.now(datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.time

    def forward(self, **step: float) -> None:
        """Move on by a timedelta."""
        self.time += datetime.timedelta(**step)


@dataclass
class Home:
    """A store and its vault."""

    store: Store
    vault: Vault
    credentials: Credentials


def home(folder: Path, clock: Clock, store_url: str | None = None) -> Home:
    """Make a home in ``folder``, with its store there or elsewhere."""
    folder.mkdir(mode=0o700, parents=True)
    if store_url is None:
        write_store(folder / "store.sqlite")
    store = Store(store_url or f"sqlite:///{folder / 'store.sqlite'}")
    vault = open_vault(folder, store)
    return Home(store, vault, Credentials(store, vault, clock))


class Bank:
    """A bank with everything that enrolment takes."""

    def __init__(
        self, folder: Path, clock: Clock, address: Address = NODE_AT, store_url: str | None = None
    ) -> None:
        self.clock = clock
        self.home = home(folder, clock, store_url)
        store, vault = self.home.store, self.home.vault
        self.authority = StandingAuthority.create(store, vault, "bank", clock)
        self.authority.renew_own(self.home.credentials)
        self.identity = public_identity(self.home.credentials.ensure_identity())
        self.enrolments = Enrolments(store, self.authority, self.identity, address, clock)
        self.partners = Partners(store, clock)

    def invite(self, partner: str = "acme", actor: str = "ann", at: Address = ENROL_AT) -> Invitation:
        """Invite a partner."""
        return self.enrolments.invite(partner, actor, at)

    def ask(self, node: Node, source: str = "192.0.2.1") -> EnrolReply:
        """Answer a node."""
        return self.enrolments.request(node.asked(), source)


class Node:
    """A node with keys, that asks with ``invitation``."""

    def __init__(self, invitation: Invitation) -> None:
        self.invitation = invitation
        self.identity: SigningSeed = new_identity()
        self.key: TlsKey = new_tls_key()

    def asked(self) -> EnrolRequest:
        """The request; its CSR is signed anew each time, with the same key."""
        csr, public = request(self.key), public_identity(self.identity)
        return EnrolRequest(
            self.invitation.partner,
            csr,
            public,
            prove_identity(self.invitation, csr, self.identity),
            prove(self.invitation, csr, public),
            SOFTWARE,
        )

    @property
    def fingerprint(self) -> str:
        """What the node shows."""
        return fingerprint(public_key(self.key), public_identity(self.identity), self.invitation.pin)
