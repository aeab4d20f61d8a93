"""What an evidence pack's page says: sentences and rows, made of a pack's entries and contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from audit.contracts import other
from audit.drawing import Bar
from audit.entry import ROLES
from audit.pack import Agreed, Pack
from audit.pagewords import PAGE
from audit.words import LANGUAGES, actor, moment, sentence, show, stream, word

_SHORT_JOB: Final = 8
_THRESHOLDS: Final = ("min_group", "min_converters", "dominance", "epsilon")
_SPACE: Final = {"en": ", ", "zh": "，"}

Entry = Mapping[str, Any]


class Said:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, **named: str) -> str:
        """Return a text of the page, filled in."""
        return PAGE[key][self._column].format(**named)

    def word(self, text: str) -> str:
        """Return a word of the log."""
        return word(text, self.language)


def headline(pack: Pack, said: Said) -> str:
    """Return the page's title: the kind of job and both parties, or the job's id where there is no contract."""
    if pack.agreed is None:
        return said("title_alone", job=pack.job[:_SHORT_JOB])
    names = {side: pack.names.get(side, said.word(side)) for side in ROLES}
    return said("title", kind=said.word(pack.agreed.terms.kind), **names)


# -- in short


def short(pack: Pack, said: Said) -> Iterator[str]:
    """Yield what a reader in a hurry has to know."""
    yield from _consent(pack, said)
    for side in ROLES:
        of = [entry["shared"] for entry in pack.of("stream") if entry["shared"]["from"] == side]
        if of:
            total = f"{sum(shared['bytes'] for shared in of):,}"
            yield said("s_left", side=said.word(side), count=f"{len(of):,}", bytes=total)
    allowed = [each for each in pack.of("decision") if each["facts"]["outcome"] == "allow"]
    if allowed:
        cosigned = sum(pack.covered(each["sequence"]) is not None for each in allowed)
        yield said("s_decided", count=f"{len(allowed):,}", cosigned=f"{cosigned:,}")
    yield from _result(pack, said)


def _consent(pack: Pack, said: Said) -> Iterator[str]:
    drafted = _last(pack, "job_draft", "job_edit")
    if drafted is not None:
        yield said("s_drafted", **_who(drafted, said))
    approved = _last(pack, "job_approve")
    if approved is not None:
        yield said("s_approved", side=said.word(pack.header.role), **_who(approved, said))
    for type, key in (("job_propose", "s_proposed"), ("job_accept", "s_accepted")):
        signed = _last(pack, type)
        if signed is not None:
            yield said(key, time=moment(signed["time"]))
    if pack.agreed is not None and pack.agreed.signed == ROLES:
        yield said("s_signed")


def _result(pack: Pack, said: Said) -> Iterator[str]:
    released = _last(pack, "result_released")
    if released is not None:
        to = said.word(released["facts"]["to"])
        yield said("s_released", time=moment(released["time"]), to=to)
    reads = list(pack.of("result_read"))
    if reads:
        yield said("s_read", count=f"{len(reads):,}", **_who(reads[-1], said))
    purged = _last(pack, "result_purged")
    if purged is not None:
        yield said("s_purged", time=moment(purged["time"]))


def cautions(pack: Pack, said: Said) -> Iterator[str]:
    """Yield what somebody should look at before relying on the rest."""
    if _last(pack, "rehearsal") is not None:
        yield said("c_rehearsal")
    if pack.agreed is None:
        yield said("c_contract")
    else:
        for side in ROLES:
            if side not in pack.agreed.signed:
                yield said("c_unsigned", side=said.word(side))
        if not pack.agreed.card[said.language]:
            yield said("c_card")
    for decision in pack.of("decision"):
        release = said.word(decision["facts"]["release"])
        told = {"sequence": f"{decision['sequence']:,}", "release": release}
        if decision["facts"]["outcome"] != "allow":
            yield said("c_refused", **told)
        elif pack.covered(decision["sequence"]) is None:
            yield said("c_uncosigned", **told)
    for entry in pack.of("stream"):
        if pack.agreed is not None and not _allowed(pack.agreed, entry["shared"]):
            name = stream(entry["shared"]["name"], said.language)
            yield said("c_unexpected", sequence=f"{entry['sequence']:,}", name=name)
    starts = list(pack.of("job_start"))
    if len(starts) > 1:
        yield said("c_attempts", count=f"{len(starts):,}")
    if _last(pack, "job_finish") is None:
        yield said("c_unfinished")


# -- rows of tables


def agreed_rows(pack: Pack, said: Said) -> Iterator[tuple[str, str]]:
    """Yield what the contract says, as pairs of name and value."""
    if pack.agreed is None:
        return
    agreed, terms = pack.agreed, pack.agreed.terms
    limits = terms.thresholds
    yield said("a_kind"), said.word(terms.kind)
    yield said("a_purpose"), agreed.texts["purpose"]
    for side in ROLES:
        name = pack.names.get(side, f"{terms.identities[side].hex()[:16]}…")
        yield said("a_side", side=said.word(side)), said("a_party", name=name, dataset=terms.datasets[side])
    yield said("a_identifier"), agreed.texts["identifier"]
    yield said("a_receiver"), said.word(terms.receiver)
    yield said("a_min_group"), said("persons", count=f"{limits.min_group:,}")
    yield said("a_max_set"), said("persons", count=f"{limits.max_set:,}")
    if limits.min_converters is not None:
        yield said("a_min_converters"), said("persons", count=f"{limits.min_converters:,}")
        yield said("a_dominance"), f"{limits.dominance:,}"
        exact = said("a_exact")
        yield said("a_epsilon"), exact if limits.epsilon is None else str(limits.epsilon)
    yield said("a_suite"), agreed.texts["suite"]
    yield said("a_expires"), agreed.texts["expires"]
    yield said("a_hash"), agreed.hash
    yield said("a_card"), terms.card


def attempts(pack: Pack) -> list[str]:
    """Return the sessions of the job's messages, in their order."""
    return list(dict.fromkeys(str(entry["shared"]["session"]) for entry in pack.of("stream")))


def sent(pack: Pack, session: str, side: str, said: Said) -> list[list[str]]:
    """Return what ``side`` sent in ``session``: entry, time, message, count, bytes, whether allowed; then the sum."""
    lines, total = [], 0
    for entry in pack.of("stream"):
        shared = entry["shared"]
        if shared["session"] != session or shared["from"] != side:
            continue
        total += shared["bytes"]
        allowed = "—" if pack.agreed is None else said("yes" if _allowed(pack.agreed, shared) else "no")
        lines.append(
            [
                f"{entry['sequence']:,}",
                moment(entry["time"]).removesuffix(" UTC"),
                stream(shared["name"], said.language),
                f"{shared['count']:,}",
                f"{shared['bytes']:,}",
                allowed,
            ]
        )
    if lines:
        lines.append(["", "", said("t_sum"), "", f"{total:,}", ""])
    return lines


def drawn(pack: Pack, said: Said) -> list[Bar]:
    """Return a bar per message name and direction, all attempts together, the bank's first."""
    totals: dict[tuple[str, str], int] = {}
    for side in ROLES:
        for entry in pack.of("stream"):
            shared = entry["shared"]
            if shared["from"] == side:
                key = (side, shared["name"])
                totals[key] = totals.get(key, 0) + shared["bytes"]
    return [
        Bar(
            f"{said.word(side)} → {said.word(other(side))}: {stream(name, said.language)}",
            said("bytes", count=f"{size:,}"),
            size,
            side == ROLES[0],
        )
        for (side, name), size in totals.items()
    ]


def decisions(pack: Pack, said: Said) -> list[list[str]]:
    """Return the decisions: entry, time, what was to be released, outcome, thresholds, the partner's signature."""
    lines = []
    for entry in pack.of("decision"):
        facts = entry["facts"]
        outcome = said.word(facts["outcome"])
        if facts["code"] is not None:
            outcome = f"{outcome} ({facts['code']})"
        used = [
            f"{key} {show(facts[key], 'fraction' if key == 'epsilon' else 'count', said.language)}"
            for key in _THRESHOLDS
            if facts[key] is not None
        ]
        covered = pack.covered(entry["sequence"])
        cosigned = said("not_at_all")
        if covered is not None:
            when = moment(covered.seconds * 1000).removesuffix(" UTC")
            cosigned = said("cosigned", partner=covered.partner, size=f"{covered.size:,}", time=when)
        lines.append(
            [
                f"{entry['sequence']:,}",
                moment(entry["time"]).removesuffix(" UTC"),
                said.word(facts["release"]),
                outcome,
                _SPACE[said.language].join(used),
                cosigned,
            ]
        )
    return lines


def budget(pack: Pack, said: Said) -> list[str]:
    """Return what the job cost of the party's budget."""
    return [sentence(entry, said.language) for entry in pack.of("budget_spent")]


def _allowed(agreed: Agreed, shared: Mapping[str, Any]) -> bool:
    """Return whether a message of this name and direction follows from the contract, and is of the right length."""
    flow = agreed.terms.flows.get(shared["name"])
    return flow is not None and flow.sender == shared["from"] and flow.fits(shared["count"], shared["bytes"])


def _last(pack: Pack, *types: str) -> Entry | None:
    found = None
    for entry in pack.of(*types):
        found = entry
    return found


def _who(entry: Entry, said: Said) -> dict[str, str]:
    return {"actor": actor(entry["actor"], said.language), "time": moment(entry["time"])}
