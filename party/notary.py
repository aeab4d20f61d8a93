"""Keeps both parties' logs cosigned while a node runs, and holds back what needs a cosignature until it has one.

A gate appends what a job's process has to note and waits until the partner has cosigned a checkpoint that covers it.
One offer per partner is under way at a time; all that waits meanwhile is covered by the next one. Nothing here waits
for a partner to read: what is said goes into its stream's outbox, or ends the stream. audit/SPEC 6 and 10.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from audit.entry import Draft
from party.cosigning import SHORTER, UNKNOWN_LOG, WITHHELD, Cosigning
from party.partners import Partners
from psi.errors import LinkLost, PeerViolation, VeiljoinError
from veiljoin.control_messages import ControlMessage
from veiljoin.log_messages import LogConflict, LogCosigned, LogKeys, LogOffer, LogRefused

# How long a partner that is on the line may leave our log without the cosignature that something waits for.
COSIGN_SECONDS: Final = 60.0
# How long a gate waits for a partner that is not on the line; then the attempt counts as cut.
ABSENT_SECONDS: Final = 30.0
# How often the logs are cosigned while nothing waits for it, and how often a partner is asked again that did not.
IDLE_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5

# Puts a message into a stream's outbox; raises ``LinkLost`` where the partner reads no more.
Say = Callable[[ControlMessage], None]
Tell = Callable[[dict[str, Any]], None]
T = TypeVar("T")
LogMessage = LogKeys | LogOffer | LogCosigned | LogConflict | LogRefused


@dataclass(slots=True)
class _Line:
    """One partner: how to speak to it, since when an offer is under way, and how much it has cosigned."""

    say: Say | None = None
    since: float | None = None
    asked: float = float("-inf")
    cosigned: int = 0
    refused: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)


class Notary:
    """The notary of a node. To be used inside one event loop; ``tell`` is told what people should know."""

    def __init__(
        self,
        cosigning: Cosigning,
        partners: Partners,
        tell: Tell,
        *,
        patience: float = COSIGN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cosigning = cosigning
        self._partners = partners
        self._tell = tell
        self._patience = patience
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._turn = asyncio.Lock()
        self._idle = clock()

    # -- the control stream

    async def online(self, partner: str, say: Say) -> None:
        """Begin with a partner whose control stream has begun; says our keys and what there is to cosign."""
        line = self._line(partner)
        line.say, line.since, line.refused = say, None, None
        say(self._cosigning.keys())
        await self.nudge(partner)

    def offline(self, partner: str, say: Say) -> None:
        """Forget a control stream that has ended, unless a newer one has taken its place."""
        line = self._line(partner)
        if line.say == say:
            line.say, line.since = None, None
            line.changed.set()

    async def receive(self, partner: str, message: LogMessage) -> ControlMessage | None:
        """Return the answer to what ``partner`` says of a log. Raises ``PeerViolation`` for what it may not say."""
        try:
            return await self._receive(partner, message)
        except ValueError:
            # Of notes and keys that are none; what is wrong with them is nobody's reading.
            raise PeerViolation(f"{partner} said something of a log that cannot be read.") from None

    async def _receive(self, partner: str, message: LogMessage) -> ControlMessage | None:
        line = self._line(partner)
        if isinstance(message, LogKeys):
            known = await asyncio.to_thread(self._partners.get, partner)
            identity = known.identity or b""
            await self._ask(lambda: self._cosigning.learn(partner, identity, message))
            return None
        if isinstance(message, LogOffer):
            return await self._ask(lambda: self._cosigning.judge(partner, message))
        if line.since is None:
            return None  # an answer to nothing that was asked
        line.since = None
        if isinstance(message, LogCosigned):
            resumed = await self._ask(lambda: self._cosigning.take(partner, message))
            line.cosigned = max(line.cosigned, message.size)
            line.refused = await self._ask(lambda: self._cosigning.trouble(partner))
            if resumed:
                self._tell({"event": "cosigned", "partner": partner})
            line.changed.set()
        elif isinstance(message, LogConflict):
            return await self._offer(partner, message.size)
        elif message.code == UNKNOWN_LOG:
            # It had not heard our keys yet: a store that was put back. It has been told them on this stream.
            return self._cosigning.keys()
        else:
            await self._refused(partner, f"refused_{message.code}")
        return None

    async def nudge(self, partner: str) -> None:
        """Offer the log as it is now, if the partner is on the line and nothing is under way."""
        line = self._line(partner)
        if line.say is None or line.since is not None:
            return
        offer = await self._offer(partner, None)
        if offer is not None and line.say is not None:
            try:
                line.say(offer)
            except LinkLost:
                line.say, line.since = None, None

    async def tick(self) -> None:
        """To be called every few seconds: offers the log once a minute, and minds offers that are not answered."""
        now = self._clock()
        idle = now - self._idle >= IDLE_SECONDS
        if idle:
            self._idle = now
        for partner, line in list(self._lines.items()):
            if line.since is not None and now - line.since > self._patience:
                line.since = None
                await self._refused(partner, WITHHELD)
            if idle or (line.refused is not None and now - line.asked >= AGAIN_SECONDS):
                await self.nudge(partner)

    def trouble(self, partner: str) -> str | None:
        """Return why no job with ``partner`` begins, as a code; ``None`` where nothing is in the way."""
        return self._cosigning.trouble(partner)

    # -- the gate

    async def note(self, drafts: Sequence[Draft]) -> int:
        """Append ``drafts`` to the log; returns its size."""
        now = self._cosigning.clock().timestamp()
        return await self._ask(lambda: self._cosigning.log.append(drafts, now))

    async def gate(
        self, partner: str, drafts: Sequence[Draft], wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Append ``drafts`` and wait until ``partner`` has cosigned them, as long as that is ``wanted``.

        Raises ``VeiljoinError`` (``cosign_refused``) if it does not, whatever it says meanwhile, and ``LinkLost`` if
        it is away for long.
        """
        size = await self.note(drafts)
        line = self._line(partner)
        line.cosigned = max(line.cosigned, await self._ask(lambda: self._cosigning.cosigned_size(partner)))
        # Time on the line without a step forward, and away: a partner that comes and goes gains none.
        reached, present, absent, last = line.cosigned, 0.0, 0.0, self._clock()
        while line.cosigned < size:
            if line.refused is not None:
                raise refused(partner, line.refused)
            if not wanted():
                raise LinkLost(f"The job with {partner} ended while it waited.", code="cancelled")
            now = self._clock()
            present, absent = (
                (present + now - last, absent) if line.say is not None else (present, absent + now - last)
            )
            last = now
            if line.cosigned != reached:
                reached, present, absent = line.cosigned, 0.0, 0.0
            if present > self._patience:
                line.since = None
                await self._refused(partner, WITHHELD)
                continue
            if absent > ABSENT_SECONDS:
                raise LinkLost(
                    f"{partner} is not on the line to cosign our log.",
                    hint="the job goes on once its node is back",
                    code="peer_absent",
                )
            line.changed.clear()
            await self.nudge(partner)
            if line.cosigned >= size:
                return
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await line.changed.wait()
            except TimeoutError:
                continue

    async def _refused(self, partner: str, code: str) -> None:
        line = self._line(partner)
        # Noted and told before any gate ends by it, and once however many of them find it.
        async with line.telling:
            if line.refused != code:
                size = await self._ask(self._cosigning.log.size)
                await self._ask(lambda: self._cosigning.note_refusal(partner, size, code))
                error = refused(partner, code)
                told = {
                    "event": "not_cosigned",
                    "partner": partner,
                    "text": error.message,
                    "hint": error.hint,
                }
                self._tell(told)
                line.refused = code
        line.changed.set()

    async def _offer(self, partner: str, old: int | None) -> LogOffer | None:
        line = self._line(partner)
        # Before anything is waited for: whoever else comes meanwhile finds an offer under way.
        line.since = line.asked = self._clock()
        offer = None
        try:
            offer = await self._ask(lambda: self._cosigning.offer(partner, old))
        finally:
            line.since = None if offer is None else self._clock()
        if offer is not None:
            return offer
        trouble = await self._ask(lambda: self._cosigning.trouble(partner))
        if trouble == SHORTER:
            await self._refused(partner, SHORTER)
            return None
        # It has cosigned all there is, perhaps in a message that was kept just as its stream broke.
        line.cosigned = await self._ask(lambda: self._cosigning.cosigned_size(partner))
        line.changed.set()
        return None

    def _line(self, partner: str) -> _Line:
        return self._lines.setdefault(partner, _Line())

    async def _ask(self, question: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(question)


def refused(partner: str, code: str) -> VeiljoinError:
    """Return what is said of a partner that does not cosign our log."""
    why = {
        WITHHELD: f"{partner} did not cosign our log in time, so nothing more is released to it or by it.",
        SHORTER: f"{partner} has cosigned more of our log than this store has: the store was put back or changed.",
        "fork": f"{partner} showed us a log that contradicts what it showed before.",
    }.get(code, f"{partner} refused to cosign our log ({code}).")
    hint = {
        SHORTER: "put a backup back with `veiljoin restore`, which begins a new log; tell the auditor",
        "fork": "compare both parties' bundles with `veiljoin audit verify`; only a new identity is believed again",
        "refused_fork": "compare both parties' bundles with `veiljoin audit verify`",
    }.get(code, "jobs with it begin again once it cosigns; ask it what its node's log says")
    return VeiljoinError(why, hint=hint, code="cosign_refused")
