"""What keeps a partner's node from working, found before a job does: each check says ok, or what to mend.

A check that can't be made because an earlier one failed says so. Nothing of the partner's data is read but the heads
of its files, and nothing is sent but what a node's own control stream sends.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from client.enrolment import STEP_SECONDS, check
from client.proxy import connect, proxy_for
from party.address import Address, parse_address
from party.catalogue import Catalogue, Registered
from party.certificates import BANK_HOST, pem_of
from party.credentials import renewal_time
from party.node import Node
from psi.engines import available, usable_processors
from psi.errors import UsageError, VeiljoinError
from psi.suites import PROTOCOL_VERSION, suite_by_id
from veiljoin.control_messages import CheckReply

# Room for the spooled chunks and results of one job of ten million persons.
FREE_BYTES: Final = 2 * 1024**3
# What two clocks may differ by before certificates begin to look not yet valid.
SKEW_SECONDS: Final = 120.0
_SUITE: Final = "x25519-ell2"


class Verdict(Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: which check, how it ended, what was found, and how to mend it."""

    check: str
    verdict: Verdict
    text: str
    hint: str = ""


class Doctor:
    """Examines one node; ``software`` is what it calls itself."""

    def __init__(self, node: Node, software: str) -> None:
        self._node = node
        self._software = software
        self._reply: CheckReply | None = None
        self._address: Address | None = None

    async def examine(self, show: Callable[[Finding], None]) -> bool:
        """Make every check, calling ``show`` for each as it ends; returns whether none failed."""
        steps: tuple[tuple[str, tuple[str, ...], Callable[[], Awaitable[str] | str]], ...] = (
            ("enrolment", (), self._enrolment),
            ("certificate", ("enrolment",), self._certificate),
            ("name", ("enrolment",), self._name),
            ("port", ("enrolment", "name"), self._port),
            ("tls", ("enrolment", "port"), self._tls),
            ("access", ("certificate", "tls"), self._access),
            ("version", ("access",), self._version),
            ("clock", ("access",), self._clock),
            ("disk", (), self._disk),
            ("processor", (), self._processor),
            ("policy", (), self._policy),
        )
        passed: set[str] = set()
        well = True
        for name, needs, step in steps:
            finding = await self._try(name, [need for need in needs if need not in passed], step)
            well = self._judge(finding, passed, well)
            show(finding)
        for dataset in Catalogue(self._node.home.store, self._node.clock).all():
            finding = await self._try(f"dataset {dataset.name}", [], partial(_readable, dataset))
            well = self._judge(finding, passed, well)
            show(finding)
        return well

    @staticmethod
    def _judge(finding: Finding, passed: set[str], well: bool) -> bool:
        if finding.verdict is Verdict.OK:
            passed.add(finding.check)
        return well and finding.verdict is Verdict.OK

    @staticmethod
    async def _try(name: str, missing: list[str], step: Callable[[], Awaitable[str] | str]) -> Finding:
        if missing:
            return Finding(name, Verdict.SKIPPED, missing[0])
        try:
            found = step()
            return Finding(name, Verdict.OK, found if isinstance(found, str) else await found)
        except VeiljoinError as error:
            return Finding(name, Verdict.FAILED, error.message, error.hint)

    def _enrolment(self) -> str:
        bank = self._node.credentials.bank()
        address = self._node.partners.get(bank).address
        self._address = parse_address(address or "", "The bank's address in the store")
        return f"{self._node.file.name} at {bank}, {self._address}"

    def _certificate(self) -> str:
        self._node.credentials.material()  # raises once it has expired, or if its key is gone
        current = self._node.credentials.current()
        if current is None:
            raise UsageError("There is no certificate.", hint="join with a token of the bank")
        due = renewal_time(current.certificate)
        if self._node.clock() >= due:
            raise UsageError(
                f"The certificate should have been renewed on {due:%Y-%m-%d %H:%M} UTC; it ends on "
                f"{current.expires:%Y-%m-%d %H:%M}.",
                hint="start `veiljoin client run`, which renews it; once it has ended, a new token is needed",
            )
        return f"until {current.expires:%Y-%m-%d %H:%M} UTC, renewed from {due:%Y-%m-%d %H:%M}"

    async def _name(self) -> str:
        proxy = proxy_for(self._bank)
        host = self._bank.host if proxy is None else proxy.address.host
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            raise UsageError(
                f"The host name {host} is not known here.",
                hint="check this machine's DNS, or put the name into its hosts file"
                if proxy is None
                else f"check the name in {proxy.variable}, and this machine's DNS",
            ) from None
        addresses = sorted({str(each[4][0]) for each in found})
        through = "" if proxy is None else f" (proxy of {proxy.variable})"
        return f"{host}{through}: {', '.join(addresses[:3])}"

    async def _port(self) -> str:
        (await asyncio.to_thread(connect, self._bank, STEP_SECONDS)).close()
        return f"{self._bank} answers"

    async def _tls(self) -> str:
        await asyncio.to_thread(_shake_hands, self._bank, pem_of(self._node.credentials.authority()))
        return "the bank's certificate is signed by the authority of our enrolment"

    async def _access(self) -> str:
        self._reply = await check(self._bank, self._node.credentials.material(), self._software)
        if self._reply.partner != self._node.file.name:
            raise UsageError(
                f"The bank knows this node as {self._reply.partner}, and its {self._node.file.name!r} is another.",
                hint="join again with a token for the right name",
            )
        return f"accepted as {self._reply.partner}"

    def _version(self) -> str:
        theirs = self._answer
        if theirs.protocol_version != PROTOCOL_VERSION:
            raise UsageError(
                f"The bank speaks protocol version {theirs.protocol_version}, this node {PROTOCOL_VERSION}.",
                hint="update the older of the two",
            )
        return f"bank {theirs.software}, here {self._software}, protocol {PROTOCOL_VERSION}"

    def _clock(self) -> str:
        skew = self._node.clock().timestamp() - self._answer.time
        if abs(skew) > SKEW_SECONDS:
            raise UsageError(
                f"This machine's clock is {abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} the bank's.",
                hint="synchronise it with NTP; certificates are judged by it",
            )
        return f"{skew:+.0f} s against the bank's"

    def _disk(self) -> str:
        folder = self._node.home.folder
        free = shutil.disk_usage(folder).free
        if free < FREE_BYTES:
            raise UsageError(
                f"The disk of {folder} has {free / 1024**3:.1f} GiB free.",
                hint=f"have {FREE_BYTES // 1024**3} GiB free, for the chunks and results of jobs",
                code="no_space",
            )
        return f"{free / 1024**3:.0f} GiB free"

    def _processor(self) -> str:
        statuses = available(suite_by_id(_SUITE))
        usable = next((status.name for status in statuses if status.usable), None)
        if usable is None:
            reasons = " ".join(f"{status.name}: {status.reason}" for status in statuses)
            raise UsageError(f"No masking engine can run here. {reasons}", hint="install veiljoin[node]")
        slower = "; ".join(f"not {each.name}: {each.reason}" for each in statuses if not each.usable)
        return f"{usable} on {usable_processors()} processors" + (f" ({slower})" if slower else "")

    def _policy(self) -> str:
        policy = self._node.home.policy  # read when the home was opened
        known = {dataset.name for dataset in Catalogue(self._node.home.store, self._node.clock).all()}
        for rule in policy.standing:
            unknown = sorted(set(rule.datasets) - known)
            if unknown:
                raise UsageError(
                    f"The standing rule {rule.name!r} names the dataset {unknown[0]!r}, which is not registered.",
                    hint="correct [[standing]] in policy.toml, or add the dataset with `veiljoin dataset add`; until "
                    "then jobs over it wait for a person",
                )
        limits = policy.limits
        return f"min_group {limits.min_group}, max_set {limits.max_set:,}, standing rules: {len(policy.standing)}"

    @property
    def _bank(self) -> Address:
        if self._address is None:
            raise UsageError(
                "This node does not know where its bank is.", hint="join with a token of the bank"
            )
        return self._address

    @property
    def _answer(self) -> CheckReply:
        if self._reply is None:
            raise UsageError("The bank has not answered.", hint="mend what failed before")
        return self._reply


def _shake_hands(bank: Address, authority: bytes) -> None:
    """Make a TLS handshake in which only ``authority`` (PEM) is trusted, and say what is wrong with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority.decode("ascii"))
    context.set_alpn_protocols(["h2"])
    with connect(bank, STEP_SECONDS) as plain:
        try:
            context.wrap_socket(plain, server_hostname=BANK_HOST).close()
        except ssl.SSLCertVerificationError as error:
            raise UsageError(
                f"What answers at {bank} is not the bank of our enrolment: {error.verify_message}.",
                hint="something between us and the bank opens TLS, or the bank has a new authority: ask it",
                code="peer_identity",
            ) from None
        except OSError:  # also of ssl.SSLError
            raise UsageError(
                f"What answers at {bank} does not speak TLS as a node does.",
                hint="check the address and its port; a proxy that opens TLS has to let this host through",
                code="peer_absent",
            ) from None


def _readable(registered: Registered) -> str:
    dataset = registered.open()
    return f"{dataset.format}, {len(dataset.columns)} columns, as they were when it was added"
