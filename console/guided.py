"""What the guided form of a new job chooses from, how each of its steps is checked, and what a lift can show."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from console.drafts import Request, Worked, days_of
from console.jobform import Answers, Step, default_answers, table_of
from console.place import Place
from console.tomltext import toml_text
from federated.statistics import minimal_detectable_lift, power
from federated.terms import CONVERTERS
from party.catalogue import Catalogue, Registered, Told, pick
from party.identifiers import parse_form
from party.jobfile import parse_job
from party.jobspec import JobKind
from party.partners import PartnerState
from party.policy import Limits
from psi.errors import UsageError, VeiljoinError

FORM: Final = "this form"
_SEGMENT_CODES: Final = frozenset(
    {"missing_file", "unreadable_file", "empty_file", "bad_encoding", "bad_format", "file_changed"}
)
# Type of identifiers -> what columns with them are called, in lower case.
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "phone": ("mobile", "tel", "msisdn"),
    "email": ("mail",),
    "national_id": ("id_card", "idno"),
    "opaque": ("key", "id"),
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A partner's dataset as it told: ``persons`` to two digits; ``fits`` says whether its identifiers do."""

    partner: str
    name: str
    forms: tuple[str, ...]
    columns: tuple[str, ...]
    persons: int
    fits: bool


@dataclass(frozen=True, slots=True)
class PartnerChoice:
    """A partner with access: when it was last on the line, its datasets, and its limits where it told any."""

    name: str
    seen: datetime.datetime | None
    offers: tuple[Offer, ...]
    limits: Limits | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a lift can show: the chance to find ``lift``, and the least lift that is found four times in five.

    ``control`` and ``test`` are persons. ``noise`` is the standard deviation of the noise on an arm's converters.
    """

    rate: float
    lift: float
    control: int
    test: int
    chance: float
    least: float | None
    noise: float


def own_datasets(place: Place) -> tuple[Registered, ...]:
    """Return the datasets of this node by name."""
    return Catalogue(place.node.home.store, place.node.clock).all()


def partner_choices(place: Place, form: str = "") -> list[PartnerChoice]:
    """Return the partners that have access; ``form`` is that of the own identifiers."""
    catalogue = Catalogue(place.node.home.store, place.node.clock)
    found = []
    for partner in place.node.partners.all():
        if partner.state is PartnerState.ACTIVE:
            found.append(_choice(partner.name, catalogue.told(partner.name), form))
    return found


def offer_of(place: Place, answers: Answers) -> tuple[PartnerChoice, Offer]:
    """Return the partner and its dataset that were chosen. Raises ``UsageError`` if there is no such choice."""
    own = Catalogue(place.node.home.store, place.node.clock).get(answers.one("dataset"))
    for choice in partner_choices(place, own.form):
        for offer in choice.offers:
            if (offer.partner, offer.name) == (answers.partner, answers.partner_dataset):
                if not offer.fits:
                    raise UsageError(
                        f"{offer.partner}'s dataset {offer.name!r} has identifiers of another form than {own.form}.",
                        hint=f"it has {', '.join(offer.forms)}; choose datasets that have the same form",
                        code="form_mismatch",
                    )
                return choice, offer
    raise UsageError(
        "No dataset of a partner was chosen.",
        hint="choose one; a partner that is not listed has no access, or was never on the line",
    )


# The guided form


def request_of(place: Place, answers: Answers) -> Request:
    """Return the request that the answers make. Raises ``UsageError`` for a dataset that isn't there."""
    own = Catalogue(place.node.home.store, place.node.clock).get(answers.one("dataset"))
    table = table_of(answers, own.form)
    # Checked before it is written as text: what a job's table may hold is all that the writer knows.
    parse_job(table, FORM)
    return Request(
        table,
        toml_text(table),
        answers.partner,
        own.name,
        answers.partner_dataset,
        days_of(answers.one("days")),
    )


def first_fault(place: Place, answers: Answers, until: Step) -> tuple[Step, VeiljoinError] | None:
    """Check the answers of the steps before ``until``; returns the first step with a fault, and which.

    The limits are checked with the whole job, by :func:`work_out`; see :func:`step_of`.
    """
    checks = {
        Step.KIND: _check_kind,
        Step.SEGMENT: _check_segment,
        Step.PARTNER: offer_of,
        Step.COLUMNS: _check_columns,
    }
    for step, check in checks.items():
        if step >= until:
            return None
        try:
            check(place, answers)
        except VeiljoinError as error:
            return step, error
    return None


def step_of(error: VeiljoinError) -> Step:
    """Return the step at which an error of the whole job is mended, where every step by itself had none."""
    return Step.SEGMENT if error.code.name in _SEGMENT_CODES else Step.POLICY


def expected_power(worked: Worked, answers: Answers, persons: int) -> Expected | None:
    """Return what a lift of ``persons`` persons can show at the answers' rate and lift; ``None`` for other kinds.

    Raises ``UsageError`` for a plan that makes no sense.
    """
    job = worked.drafted.job
    if job.kind is not JobKind.LIFT or job.sums is None or job.sums.arms is None:
        return None
    usual = default_answers(job.kind)
    rate = _percent(answers.one("plan_rate") or usual["plan_rate"], "The rate in the control arm")
    lift = _percent(answers.one("plan_lift") or usual["plan_lift"], "The relative lift that matters")
    share = job.sums.arms.control_share or 0.5
    told = answers.one("plan_persons").replace(",", "")
    if told:
        if not told.isdecimal() or not 0 < len(told) <= 12:
            raise UsageError("The number of persons in the campaign is no number.", hint="write it as 200000")
        persons = int(told)
    control = max(1, round(persons * share))
    test = max(1, persons - control)
    noise = worked.drafted.contract.sum_terms().noise_variances().get(CONVERTERS, 0.0)
    chance = power(rate, lift, control, test, converters_noise=noise)
    least = minimal_detectable_lift(rate, control, test, converters_noise=noise)
    return Expected(rate, lift, control, test, chance, least, noise**0.5)


def group_persons(place: Place, worked: Worked, offer: Offer) -> int:
    """Return how many persons the group holder's dataset has, the partner's to two digits."""
    sums = worked.drafted.job.sums
    if sums is not None and sums.group_holder == "bank":
        return Catalogue(place.node.home.store, place.node.clock).get(worked.drafted.dataset).persons
    return offer.persons


def identifier_guess(columns: tuple[str, ...], form: str, own: str = "") -> str:
    """Return which of a partner's columns most likely has identifiers of ``form``."""
    kind = parse_form(form).type
    likely = (own, kind, *_USUAL.get(kind, ()))
    for name in likely:
        for column in columns:
            if name and name in column.lower():
                return column
    return columns[0] if columns else ""


def _choice(name: str, told: Told | None, form: str) -> PartnerChoice:
    if told is None:
        return PartnerChoice(name, None, (), None)
    offers = tuple(
        Offer(name, entry.name, entry.identifiers, entry.columns, entry.persons, form in entry.identifiers)
        for entry in told.catalogue
    )
    return PartnerChoice(name, told.at, offers, None if told.limits is None else told.policy().limits)


def _check_kind(place: Place, answers: Answers) -> None:
    if answers.kind is None:
        raise UsageError("No question was chosen.", hint="choose what the job is to find out")
    sides = {side: {"identifier": "identifier"} for side in ("bank", "platform")}
    # Of a job that has nothing but its purpose only the purpose can be wrong.
    parse_job(
        {"kind": "overlap", "purpose": answers.one("purpose"), "identifier": "phone", "receiver": "bank"}
        | sides,
        FORM,
    )


def _check_segment(place: Place, answers: Answers) -> None:
    if not answers.one("dataset"):
        raise UsageError("No segment was chosen.", hint="choose one of the datasets of this node")
    Catalogue(place.node.home.store, place.node.clock).get(answers.one("dataset")).open()


def _check_columns(place: Place, answers: Answers) -> None:
    own = Catalogue(place.node.home.store, place.node.clock).get(answers.one("dataset"))
    job = parse_job(table_of(answers, own.form, policy=False), FORM)
    _, offer = offer_of(place, answers)
    told = Catalogue(place.node.home.store, place.node.clock).told(offer.partner)
    pick((own,), own.name, job.bank, None, "this node")
    pick(told.catalogue if told else (), offer.name, job.platform, None, offer.partner)


def _percent(text: str, what: str) -> float:
    """Read a percentage as a share. Raises ``UsageError`` that says of ``what`` it is none."""
    try:
        return float(text.rstrip("%\N{FULLWIDTH PERCENT SIGN} ")) / 100
    except ValueError:
        raise UsageError(f"{what} is no percentage.", hint="write a number such as 2.5") from None
