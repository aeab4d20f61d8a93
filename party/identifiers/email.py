"""E-mail addresses: compatibility form, trimmed, lower case.

Nothing provider-specific is folded (dots or plus tags of one provider mean something at another). An
international domain becomes its ASCII form (IDNA 2003, the standard library's codec); an address whose local
part is not ASCII is refused, because no common canonical form of it exists.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from party.identifiers.cells import HIGH, QUOTING, WHITESPACE, cells_of, tidy
from party.identifiers.outcome import Normalised, from_strings
from party.identifiers.reasons import CODE

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Dot-atoms of RFC 5322 and a domain of at least two labels whose last begins with a letter.
_ADDRESS: Final = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?$"
_MAX_ADDRESS, _MAX_LOCAL = 254, 64  # RFC 5321, 4.5.3.1
_HASH: Final = r"^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$"


def _ascii_domain(address: str) -> str:
    """The address with its domain as A-labels, or "" if there is no such form."""
    local, at, domain = address.rpartition("@")
    if not at or not local.isascii():
        return ""
    try:
        return f"{local}@{domain.encode('idna').decode('ascii').lower()}"
    except UnicodeError:
        return ""


def normalise(array: pa.Array | pa.ChunkedArray) -> Normalised:
    """Canonical addresses; the cells that are not one get ``bad_syntax`` or a more telling reason."""
    text = pc.utf8_trim(tidy(array).to_arrow(), characters=WHITESPACE + QUOTING)
    text = pc.utf8_lower(text)
    cells = cells_of(text)
    reason = np.zeros(len(cells), np.uint8)

    foreign = np.flatnonzero(cells.count(HIGH) > 0)
    if len(foreign):
        mask = np.zeros(len(cells), np.bool_)
        mask[foreign] = True
        ascii_forms = [_ascii_domain(address) for address in text.take(pa.array(foreign)).to_pylist()]
        text = pc.replace_with_mask(text, pa.array(mask), pa.array(ascii_forms, pa.large_string()))
        reason[foreign[[not form for form in ascii_forms]]] = CODE["bad_characters"]

    length = pc.binary_length(text).to_numpy(zero_copy_only=False)
    local = pc.find_substring(text, "@").to_numpy(zero_copy_only=False)
    good = pc.match_substring_regex(text, _ADDRESS).to_numpy(zero_copy_only=False)
    reason[(reason == 0) & ~good] = CODE["bad_syntax"]
    reason[(reason == 0) & ((length > _MAX_ADDRESS) | (local > _MAX_LOCAL))] = CODE["bad_length"]
    bad = np.flatnonzero(reason == CODE["bad_syntax"])
    if len(bad):
        hashed = pc.match_substring_regex(text.take(pa.array(bad)), _HASH).to_numpy(zero_copy_only=False)
        reason[bad[hashed]] = CODE["looks_hashed"]
        reason[bad[length[bad] == 0]] = CODE["empty"]
    return from_strings(text, reason)
