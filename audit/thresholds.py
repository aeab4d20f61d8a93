"""Opened decisions recomputed: from the counts that a party sealed, the decision that the contract asks for.

SPEC 8.3 and 11.5; the rules per place are those of federated/SPEC.md 12.3 and 14.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from audit.contracts import Contract
from audit.steps import Step

_MATCH: Final = frozenset(("own_persons", "peer_persons"))
_SUMS: Final = frozenset(("value_persons", "group_persons", "places"))
_GROUPS: Final = frozenset(("place", "persons", "matched", "passes"))
_VALUES: Final = _GROUPS | {"converters", "noise_on_matched", "noise_on_converters"}
# Before these releases there are sums to decide on.
_DECIDED: Final = ("sums", "openings", "table", "result")


def recompute(
    contract: Contract, side: str, release: str, streams: Mapping[str, Step], details: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what is wrong with the opened decision of ``side`` on ``release``: codes of ``sentences.PROBLEMS``.

    ``streams`` are those of its session, by name: both sizes are theirs.
    """
    names = _names(contract, side)
    if details.keys() != (_MATCH if contract.value_holder is None else _SUMS):
        yield "details_form"
        return
    limits = contract.thresholds
    sizes = {name: details[key] for key, name in names.items()}
    if any(type(size) is not int for size in sizes.values()):
        yield "details_form"
        return
    if any(not limits.min_group <= size <= limits.max_set for size in sizes.values()):
        yield "size_out_of_range"
    if any(name in streams and streams[name]["count"] != size for name, size in sizes.items()):
        yield "other_size"
    if contract.value_holder is not None:
        yield from _places(contract, side, release, streams, details["places"])


def _names(contract: Contract, side: str) -> Mapping[str, str]:
    """Return the stream whose elements each of both sizes counts."""
    if contract.value_holder is not None:
        return {"value_persons": "value_points", "group_persons": "group_points"}
    points = {flow.sender: name for name, flow in contract.flows.items() if name.endswith("_points")}
    other = next(each for each in points if each != side)
    return {"own_persons": points[side], "peer_persons": points[other]}


def _places(
    contract: Contract, side: str, release: str, streams: Mapping[str, Step], places: Any
) -> Iterator[str]:
    """Yield what is wrong with the places of a grouped sum's decision; there are none before there are sums."""
    keys = _VALUES if side == contract.value_holder else _GROUPS
    if type(places) is not list or any(
        type(place) is not dict
        or place.keys() != keys
        or any(type(each) is not int for each in place.values())
        for place in places
    ):
        yield "details_form"
        return
    if len({place["place"] for place in places}) != len(places) or _lacking(
        contract, side, release, streams, len(places)
    ):
        yield "places_missing"
        return
    noised = contract.thresholds.epsilon is not None
    if any(place["passes"] != int(_passes(contract, place)) for place in places):
        yield "threshold"
    elif not noised and any(
        place.get("noise_on_matched") or place.get("noise_on_converters") for place in places
    ):
        yield "details_form"


def _lacking(contract: Contract, side: str, release: str, streams: Mapping[str, Step], places: int) -> bool:
    """Return whether a decision has not the places that it must have: each cell of one's own, each sum that came."""
    if release not in _DECIDED:
        return places != 0
    if side != contract.value_holder:
        return places == 0
    flow, sums = contract.flows["cell_sums"], streams.get("cell_sums")
    return sums is not None and places != (sums["bytes"] - flow.least) // flow.step


def _passes(contract: Contract, place: Mapping[str, int]) -> bool:
    """Return whether a place passes by its counts."""
    limits = contract.thresholds
    persons, matched, least = place["persons"], place["matched"], limits.min_converters or 0
    if persons < limits.min_group:
        return False
    if "converters" not in place:
        # The group holder's own rule: with noise the value holder decides on the rest.
        if limits.epsilon is not None:
            return True
        return matched >= (limits.min_group if contract.customers else least)
    matched += place["noise_on_matched"]
    converters = place["converters"] + place["noise_on_converters"]
    if contract.customers and matched < limits.min_group:
        return False
    return contract.tagged or converters >= least
