"""What waits for a person at this side beside its jobs: schedules, partners that ask for access, certificates.

Each is a line that says what to do, and to whom it falls; whoever may do it comes first with it. The jobs themselves
are ``console.jobs.waiting_for``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from console.access import Right, Visitor
from console.partners import SOON, PartnerFacts, Standing, all_partners
from console.schedules import reason_text, schedules_of
from party.address import same_person
from party.schedulerecords import ScheduleRecord, ScheduleState

# Who paused a schedule has a reason to let it stand still; in all other cases nobody may know of it yet.
_BY_A_PERSON: Final = "person"


class Matter(StrEnum):
    """What waits."""

    SCHEDULE_DRAFT = "schedule_draft"
    SCHEDULE_PAUSED = "schedule_paused"
    PARTNER_ASKS = "partner_asks"
    PARTNER_SOON = "partner_soon"
    PARTNER_ENDED = "partner_ended"
    OWN_SOON = "own_soon"
    OWN_ENDED = "own_ended"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a person: the fact, what who has ``right`` does about it, and what others are told.

    ``besides`` is for who has the right and may not use it here, being the first of two persons.
    """

    text: str
    right: Right
    todo: str
    others: str
    besides: str = ""


ASKED: Final[Mapping[Matter, Asked]] = {
    Matter.SCHEDULE_DRAFT: Asked(
        "The schedule “{name}” of {by} is a draft since {at}.",
        Right.DECIDE,
        "Read it, then approve it as a whole or refuse it.",
        "Only an approver decides on it.",
        "You wrote it, so a second person approves it.",
    ),
    Matter.SCHEDULE_PAUSED: Asked(
        "The schedule “{name}” stands still since {at}: {why}.",
        Right.DRAFT,
        "Mend what stopped it, then resume it; or edit or remove it.",
        "An analyst sees to it.",
    ),
    Matter.PARTNER_ASKS: Asked(
        "The node of {name} asks for access since {at}; {by} invited it.",
        Right.PARTNERS,
        "Have the partner read out its fingerprint, type it and confirm; or refuse.",
        "Only an administrator confirms it.",
        "You invited it, so another administrator confirms it.",
    ),
    Matter.PARTNER_SOON: Asked(
        "The certificate of {name} ends at {at} and should have been renewed by now.",
        Right.PARTNERS,
        "Ask the partner to start its node, which renews it.",
        "An administrator asks the partner to start its node.",
    ),
    Matter.PARTNER_ENDED: Asked(
        "The certificate of {name} has ended at {at}.",
        Right.PARTNERS,
        "Invite the partner again.",
        "An administrator invites the partner again.",
    ),
    Matter.OWN_SOON: Asked(
        "The certificate of this node ends at {at} and should have been renewed by now.",
        Right.PARTNERS,
        "Start the own node, which renews it, or see its log.",
        "Whoever runs the own node starts it, or sees its log.",
    ),
    Matter.OWN_ENDED: Asked(
        "The certificate of this node has ended at {at}.",
        Right.PARTNERS,
        "Ask the bank for a new token and run `veiljoin client join TOKEN`.",
        "An administrator asks the bank for a new token.",
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that waits, in the visitor's words, and the page about it. ``own`` says that they can see to it."""

    matter: Matter
    address: str
    text: str
    todo: str
    own: bool


def drafts_of_schedules(visitor: Visitor) -> tuple[ScheduleRecord, ...]:
    """Return the schedules that wait for a second person, the newest first; none at a platform."""
    if not visitor.place.is_bank:
        return ()
    return schedules_of(visitor.place).list((ScheduleState.DRAFT,))


def wrote(visitor: Visitor, record: ScheduleRecord) -> bool:
    """Return whether the visitor drafted the schedule or edited it last, as far as its record tells."""
    name = visitor.person.name
    return same_person(record.drafter, name) or same_person(record.editor, name)


def lines(visitor: Visitor) -> tuple[Line, ...]:
    """Return what waits, first what the visitor can see to."""
    found = [*_schedules(visitor), *_partners(visitor), *_own_certificate(visitor)]
    return tuple(sorted(found, key=lambda line: not line.own))


def _schedules(visitor: Visitor) -> Iterator[Line]:
    for record in drafts_of_schedules(visitor):
        facts = {"name": record.purpose, "by": record.editor, "at": visitor.words.moment(record.changed)}
        own = wrote(visitor, record)
        yield _line(visitor, Matter.SCHEDULE_DRAFT, f"/schedules/{record.id}", facts, barred=own)
    if not visitor.place.is_bank:
        return
    for record in schedules_of(visitor.place).list((ScheduleState.PAUSED,)):
        if record.code != _BY_A_PERSON:
            why, at = reason_text(record.code, visitor.words), visitor.words.moment(record.changed)
            facts = {"name": record.purpose, "why": why, "at": at}
            yield _line(visitor, Matter.SCHEDULE_PAUSED, f"/schedules/{record.id}", facts)


def _partners(visitor: Visitor) -> Iterator[Line]:
    if not visitor.place.is_bank:
        # A platform lets nobody in, and the certificate towards its bank is its own.
        return
    for each in all_partners(visitor.place):
        yield from _partner(visitor, each)


def _partner(visitor: Visitor, facts: PartnerFacts) -> Iterator[Line]:
    name, words = facts.partner.name, visitor.words
    address, waiting = f"/partners/{name}", facts.waiting
    if waiting is not None:
        said = {"name": name, "at": words.moment(waiting.requested), "by": waiting.invited_by}
        own = same_person(waiting.invited_by, visitor.person.name)
        yield _line(visitor, Matter.PARTNER_ASKS, address, said, barred=own)
    # Whose node is let in anew gets another certificate.
    elif facts.standing in (Standing.SOON, Standing.ENDED):
        matter = Matter.PARTNER_SOON if facts.standing is Standing.SOON else Matter.PARTNER_ENDED
        yield _line(visitor, matter, address, {"name": name, "at": words.moment(facts.until)})


def _own_certificate(visitor: Visitor) -> Iterator[Line]:
    place = visitor.place
    current = place.node.credentials.current()
    if current is None:
        return
    left = current.expires - place.node.clock()
    if left >= SOON:
        return
    # A bank's node makes itself another at any time; a platform's is let in again by its bank.
    ended = left <= datetime.timedelta(0) and not place.is_bank
    matter = Matter.OWN_ENDED if ended else Matter.OWN_SOON
    yield _line(visitor, matter, "/partners", {"at": visitor.words.moment(current.expires)})


def _line(
    visitor: Visitor, matter: Matter, address: str, facts: Mapping[str, str], *, barred: bool = False
) -> Line:
    """Return the line; ``barred`` says that the visitor is the first of the two persons that it takes."""
    asked = ASKED[matter]
    may = visitor.can(asked.right)
    todo = asked.others if not may else asked.besides if barred else asked.todo
    return Line(matter, address, visitor.say(asked.text, **facts), visitor.say(todo), may and not barred)
