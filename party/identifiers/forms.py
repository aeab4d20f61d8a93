"""Identifier forms: what both sides match on, as one word of the job file.

``phone`` is a raw form; ``sha256:phone:cn11`` says algorithm, type and exactly which spelling was hashed,
because a hash of ``+8613...`` and one of ``13...`` never meet. Two forms are the same if their ``text`` is.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from psi.errors import UsageError

# Digest length in bytes.
ALGORITHMS: Final[dict[str, int]] = {"md5": 16, "sha256": 32, "sm3": 32}


@dataclass(frozen=True, slots=True)
class _Spellings:
    """The spellings of a type that get hashed in practice; ``default`` where one is the convention."""

    names: tuple[str, ...] = ()
    default: str | None = None


_UUID = ("upper", "lower", "upper-bare", "lower-bare")

# The one table of types and of the variants that a hashed form may name.
# phone has no default: platforms differ (E.164 with plus, without plus, bare national number), and a wrong
# guess silently empties the match. "bare" is a UUID without its hyphens.
_VARIANTS: Final[dict[str, _Spellings]] = {
    "phone": _Spellings(("e164", "digits", "cn11")),
    "email": _Spellings(),
    "oaid": _Spellings(("lower", "upper"), "lower"),
    "idfa": _Spellings(_UUID, "upper"),
    "gaid": _Spellings(_UUID, "lower"),
    "imei": _Spellings(),
    "national_id": _Spellings(),
    "uscc": _Spellings(),
    "openid": _Spellings(),
    "unionid": _Spellings(),
    "opaque": _Spellings(),
}

TYPES: Final[tuple[str, ...]] = tuple(_VARIANTS)


@dataclass(frozen=True, slots=True)
class Form:
    """A parsed form. ``algorithm`` is None for raw forms; ``variant`` is None if a type has one spelling."""

    text: str
    type: str
    algorithm: str | None = None
    variant: str | None = None


def _spell(algorithm: str, kind: str, variant: str | None) -> str:
    return ":".join(part for part in (algorithm, kind, variant) if part)


def _all_forms() -> list[str]:
    hashed = [
        _spell(algorithm, kind, variant)
        for algorithm in ALGORITHMS
        for kind, spellings in _VARIANTS.items()
        for variant in spellings.names or (None,)
    ]
    return [*TYPES, *hashed]


def parse_form(text: str) -> Form:
    """Read a form such as ``phone`` or ``md5:idfa:upper``; ``text`` spells out a default variant left out.

    Raises ``UsageError`` (``bad_setting``) that suggests the nearest form.
    """
    written = text.strip().lower()
    parts = written.split(":")
    if len(parts) == 1 and written in _VARIANTS:
        return Form(written, written)
    if len(parts) in (2, 3) and parts[0] in ALGORITHMS and parts[1] in _VARIANTS:
        algorithm, kind = parts[0], parts[1]
        spellings = _VARIANTS[kind]
        variant = parts[2] if len(parts) == 3 else spellings.default
        if variant in spellings.names or (variant is None and not spellings.names):
            return Form(_spell(algorithm, kind, variant), kind, algorithm, variant)
        if variant is None:
            choices = ", ".join(_spell(algorithm, kind, name) for name in spellings.names)
            raise UsageError(
                f"Identifier {text!r} does not say which spelling of the {kind} was hashed.",
                hint=f"Write one of {choices}; the partner's list must use the same.",
            )
    if len(parts) == 2 and parts[0] in _VARIANTS and parts[1] in _VARIANTS[parts[0]].names:
        raise UsageError(
            f"Identifier {text!r} names a spelling, which only hashed forms have.",
            hint=f"Write {parts[0]!r} to match raw identifiers, or for example 'sha256:{written}'.",
        )
    forms = _all_forms()
    same_kind = [form for form in forms if len(parts) > 1 and form.split(":")[:2] == parts[:2]]
    near = difflib.get_close_matches(written, same_kind or forms, n=1, cutoff=0.5)
    raise UsageError(
        f"Identifier {text!r} is not a known form.",
        hint=(f"Did you mean {near[0]!r}? " if near else "")
        + f"Forms are a type ({', '.join(TYPES)}) or algorithm:type:spelling ({', '.join(ALGORITHMS)}).",
    )
