"""Keeps both parties' logs cosigned while a node runs, and holds back what needs a cosignature until it has one.

A gate appends what a job's process has to note and waits until the partner has cosigned a checkpoint that covers it.
One offer per partner is under way at a time; all that waits meanwhile is covered by the next one. audit/SPEC 6.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from audit.entry import Draft
from party.cosigning import SHORTER, UNKNOWN_LOG, WITHHELD, Cosigning
from party.partners import Partners
from psi.errors import LinkLost, VeiljoinError
from veiljoin.control_messages import ControlMessage
from veiljoin.log_messages import LogConflict, LogCosigned, LogKeys, LogOffer, LogRefused

# How long a partner that is on the line may leave an offer unanswered.
COSIGN_SECONDS: Final = 30.0
# How long a gate waits for a partner that is not on the line; then the attempt counts as cut.
ABSENT_SECONDS: Final = 30.0
# How often the logs are cosigned while nothing waits for it, and how often a partner is asked again that did not.
IDLE_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5

Say = Callable[[ControlMessage], Awaitable[None]]
Tell = Callable[[dict[str, Any]], None]
T = TypeVar("T")
LogMessage = LogKeys | LogOffer | LogCosigned | LogConflict | LogRefused


@dataclass(slots=True)
class _Line:
    """One partner: how to speak to it, the offer that is under way, and when that was made."""

    say: Say | None = None
    offered: bool = False
    since: float = 0.0
    cosigned: int = 0
    refused: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Notary:
    """The notary of ``node``. To be used inside one event loop; ``tell`` is told what people should know."""

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
        line.say, line.offered, line.refused = say, False, None
        await say(self._cosigning.keys())
        await self.nudge(partner)

    def offline(self, partner: str, say: Say) -> None:
        """Forget a control stream that has ended, unless a newer one has taken its place."""
        line = self._line(partner)
        if line.say == say:
            line.say, line.offered = None, False
            line.changed.set()

    async def receive(self, partner: str, message: LogMessage) -> ControlMessage | None:
        """Return the answer to what ``partner`` says of a log. Raises ``PeerViolation`` for what it may not say."""
        line = self._line(partner)
        match message:
            case LogKeys():
                known = await asyncio.to_thread(self._partners.get, partner)
                identity = known.identity or b""
                await self._ask(lambda: self._cosigning.learn(partner, identity, message))
                return None
            case LogOffer():
                return await self._ask(lambda: self._cosigning.judge(partner, message))
            case LogCosigned():
                resumed = await self._ask(lambda: self._cosigning.take(partner, message))
                line.cosigned, line.offered = max(line.cosigned, message.size), False
                line.refused = None
                if resumed:
                    self._tell({"event": "cosigned", "partner": partner})
                line.changed.set()
                return None
            case LogConflict():
                line.offered = False
                return await self._offer(partner, message.size)
        line.offered = False
        if message.code == UNKNOWN_LOG:
            # It had not heard our keys yet: a store put back from a backup. It has been told them on this stream.
            return self._cosigning.keys()
        await self._refused(partner, message.size, message.code)
        return None

    async def nudge(self, partner: str) -> None:
        """Offer the log as it is now, if the partner is on the line and nothing is under way."""
        line = self._line(partner)
        if line.say is None or line.offered:
            return
        # Before anything is waited for: whoever else comes meanwhile finds an offer under way.
        line.offered = True
        offer = await self._offer(partner, None)
        if offer is not None and line.say is not None:
            await line.say(offer)

    async def tick(self) -> None:
        """To be called every few seconds: offers the log once a minute, and minds offers that are not answered."""
        now = self._clock()
        for partner, line in list(self._lines.items()):
            if line.offered and now - line.since > self._patience:
                line.offered = False
                size = await self._ask(self._cosigning.log.size)
                await self._refused(partner, size, WITHHELD)
        idle = now - self._idle >= IDLE_SECONDS
        if idle:
            self._idle = now
        for partner, line in list(self._lines.items()):
            if idle or (line.refused is not None and now - line.since >= AGAIN_SECONDS):
                await self.nudge(partner)

    def trouble(self, partner: str) -> str | None:
        """Return why no job with ``partner`` begins, as a code; ``None`` where nothing is in the way."""
        return self._cosigning.trouble(partner)

    # -- the gate

    async def note(self, drafts: Sequence[Draft]) -> int:
        """Append ``drafts`` to the log; returns its size."""
        now = self._now()
        return await self._ask(lambda: self._cosigning.log.append(drafts, now))

    async def gate(self, partner: str, drafts: Sequence[Draft]) -> None:
        """Append ``drafts`` and wait until ``partner`` has cosigned them.

        Raises ``VeiljoinError`` (``cosign_refused``) if it does not, ``LinkLost`` if it is away for long.
        """
        size = await self.note(drafts)
        line = self._line(partner)
        line.cosigned = max(line.cosigned, await self._ask(lambda: self._cosigning.cosigned_size(partner)))
        absent = self._clock()
        while line.cosigned < size:
            if line.refused is not None:
                raise refused(partner, line.refused)
            now = self._clock()
            if line.say is not None:
                absent = now
                await self.nudge(partner)
                if line.offered and now - line.since > self._patience:
                    line.offered = False
                    await self._refused(partner, size, WITHHELD)
                    continue
            elif now - absent > ABSENT_SECONDS:
                raise LinkLost(
                    f"{partner} is not on the line to cosign our log.",
                    hint="the job goes on once its node is back",
                    code="peer_absent",
                )
            line.changed.clear()
            if line.cosigned >= size:
                return
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await line.changed.wait()
            except TimeoutError:
                continue

    async def _refused(self, partner: str, size: int, code: str) -> None:
        line = self._line(partner)
        known, line.refused = line.refused, code
        if known != code:
            await self._ask(lambda: self._cosigning.note_refusal(partner, size, code))
            error = refused(partner, code)
            told = {"event": "not_cosigned", "partner": partner, "text": error.message, "hint": error.hint}
            self._tell(told)
        line.changed.set()

    async def _offer(self, partner: str, old: int | None) -> LogOffer | None:
        line = self._line(partner)
        line.offered, line.since = True, self._clock()
        try:
            offer = await self._ask(lambda: self._cosigning.offer(partner, old))
        except VeiljoinError:
            line.offered = False
            raise
        if offer is None:
            line.offered = False
            if old is not None:
                await self._refused(partner, old, SHORTER)
                return None
            # It has cosigned all there is, perhaps in a message that was kept just as its stream broke.
            line.cosigned = await self._ask(lambda: self._cosigning.cosigned_size(partner))
            line.changed.set()
        return offer

    def _line(self, partner: str) -> _Line:
        return self._lines.setdefault(partner, _Line())

    async def _ask(self, question: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(question)

    def _now(self) -> float:
        return self._cosigning.clock().timestamp()


def refused(partner: str, code: str) -> VeiljoinError:
    """Return what is said of a partner that does not cosign our log."""
    why = {
        WITHHELD: f"{partner} did not cosign our log in time, so nothing more is released to it or by it.",
        SHORTER: f"{partner} has cosigned more of our log than this store has: the store was put back or changed.",
    }.get(code, f"{partner} refused to cosign our log ({code}).")
    hint = "jobs with it begin again once it cosigns; ask it what its node's log says"
    if code == SHORTER:
        hint = "put a backup back with `veiljoin restore`, which begins a new log; tell the auditor"
    elif code == "fork":
        hint = "compare both parties' bundles with `veiljoin audit verify`"
    return VeiljoinError(why, hint=hint, code="cosign_refused")
