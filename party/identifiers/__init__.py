"""Personal identifiers brought to one canonical spelling, so that the same person matches on both sides.

form = parse_form("sha256:phone:cn11")
result = Normaliser(form)(cells)          # Arrow strings in, canonical bytes and a reason per row out
"""

from party.identifiers.forms import ALGORITHMS, TYPES, Form, parse_form
from party.identifiers.normaliser import Normaliser
from party.identifiers.outcome import Normalised
from party.identifiers.reasons import REASON_TEXT, REASONS

__all__ = [
    "ALGORITHMS",
    "REASONS",
    "REASON_TEXT",
    "TYPES",
    "Form",
    "Normalised",
    "Normaliser",
    "parse_form",
]
