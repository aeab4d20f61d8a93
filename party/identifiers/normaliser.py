"""From a form to the function that normalises its cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import pyarrow as pa

from party.identifiers import device, documents, email, opaque, phone
from party.identifiers.forms import Form
from party.identifiers.hashing import Hasher
from party.identifiers.outcome import Normalised

_Raw: TypeAlias = Callable[[pa.Array | pa.ChunkedArray], Normalised]


def _raw(form: Form, region: str) -> _Raw:
    match form.type:
        case "phone":
            return partial(phone.normalise, variant=form.variant or "e164", region=phone.check_region(region))
        case "email":
            return email.normalise
        case "idfa":
            return partial(device.normalise_uuid, variant=form.variant or "upper")
        case "gaid":
            return partial(device.normalise_uuid, variant=form.variant or "lower")
        case "oaid":
            return partial(device.normalise_oaid, variant=form.variant)
        case "imei":
            return device.normalise_imei
        case "national_id":
            return documents.normalise_national_id
        case "uscc":
            return documents.normalise_uscc
        case "openid" | "unionid" | "opaque":
            return partial(opaque.normalise, kind=form.type)
        case _:
            raise ValueError(f"no normaliser for identifier type {form.type!r}")


class Normaliser:
    """Brings the cells of one column to the canonical bytes of a form.

    ``region`` (ISO 3166, two letters) is where telephone numbers without a country code belong. Raises
    ``UsageError`` (``bad_setting``) for an unknown region. Stateless: one instance serves any number of
    batches.
    """

    def __init__(self, form: Form, *, region: str = "CN") -> None:
        self.form = form
        raw = _raw(form, region)
        self._normalise: _Raw = Hasher(form.algorithm, raw) if form.algorithm else raw

    def __call__(self, cells: pa.Array | pa.ChunkedArray) -> Normalised:
        """Normalise one batch of strings (nulls allowed); canonical bytes and reasons keep its order."""
        return self._normalise(cells)
