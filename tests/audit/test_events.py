"""The event table: every type takes its own facts and nothing else, and no kind takes a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from audit.events import EVENTS, KINDS, check_facts

SPEC = (Path(__file__).resolve().parents[2] / "audit" / "SPEC.md").read_text(encoding="utf-8")
KEY = "veiljoin/bank/acme/0123456789abcdef+0a1b2c3d+" + "A" * 44
# Per kind values that are of it, and values that nearly are.
GOOD: dict[str, tuple[Any, ...]] = {
    "word": ("a", "over_limit", "x9_"),
    "name": ("segment", "客户 A", "a" * 128),
    "hex32": ("0f" * 16,),
    "hex64": ("0f" * 32,),
    "hex128": ("0f" * 64,),
    "key": (KEY,),
    "count": (0, 2**53 - 1),
    "moment": (1_790_000_000_000,),
    "fraction": ("0/1", "1/2", "100/3"),
    "version": ("0.1.0",),
    "release": ("points", "result"),
    "outcome": ("allow", "refuse"),
    "readers": ("bank", "none"),
}
BAD: dict[str, tuple[Any, ...]] = {
    "word": ("", "A", "9a", "two words", "a" * 41, "a\n", 1, None, ["a"]),
    "name": ("", "a\nb", "a\x00", "a" * 129, "a\u202eb", 5, {}),
    "hex32": ("0F" * 16, "0f" * 15, "0f" * 17, "0g" * 16, "0f" * 15 + "0\n", 7),
    "hex64": ("0F" * 32, "0f" * 31, "٣" * 64, None),
    "hex128": ("0f" * 63,),
    "key": (KEY[:-1], KEY.replace("+", "-"), "a b" + KEY, 3),
    "count": (-1, 2**53, True, 1.0, "1", None),
    "moment": (-1, True),
    "fraction": ("1", "1/0", "01/2", "-1/2", "1/2 ", 0.5),
    "version": ("", "0" * 65, "1\n"),
    "release": ("everything", 1),
    "outcome": ("Allow", ""),
    "readers": ("all", None),
}


def facts_of(kind: str) -> dict[str, Any]:
    """Return facts that the type ``kind`` takes."""
    return {key: GOOD[told.rstrip("?")][0] for key, told in EVENTS[kind].facts.items()}


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_a_type_takes_its_facts_and_no_others(kind: str) -> None:
    facts = facts_of(kind)
    check_facts(kind, facts)
    with pytest.raises(ValueError, match=kind):
        check_facts(kind, facts | {"note": "a word more"})
    for key, told in EVENTS[kind].facts.items():
        with pytest.raises(ValueError, match=kind):
            check_facts(kind, {name: value for name, value in facts.items() if name != key})
        for good in GOOD[told.rstrip("?")]:
            check_facts(kind, facts | {key: good})
        for bad in BAD[told.rstrip("?")]:
            if bad is None and told.endswith("?"):
                continue
            with pytest.raises(ValueError, match=key) as caught:
                check_facts(kind, facts | {key: bad})
            assert not (isinstance(bad, str) and len(bad) > 9 and bad in str(caught.value))
        if told.endswith("?"):
            check_facts(kind, facts | {key: None})
        else:
            with pytest.raises(ValueError, match=key):
                check_facts(kind, facts | {key: None})


def test_an_unknown_type_and_facts_of_another_shape_are_refused() -> None:
    for kind, facts in (("chatter", {}), ("login", None), ("login", ["code"]), ("login", "code")):
        with pytest.raises(ValueError, match=r"type|facts"):
            check_facts(kind, facts)


def test_no_kind_takes_a_sentence() -> None:
    sentence = "The row of 13800138000 was not found in /data/customers.csv, see there."
    taking = [name for name, (_, check) in KINDS.items() if check(sentence)]
    # Names are what people gave; they are as long as a name is, and of one line.
    assert taking == ["name"]
    assert not any(check(sentence * 2) for _, check in KINDS.values())


def test_the_specification_has_the_table() -> None:
    section = SPEC.split("## 7 Events")[1].split("## 8 Entries")[0]
    rows = re.findall(r"^\| `(\w+)` \| (yes|may) \| (.*?) \|$", section, flags=re.MULTILINE)
    told = {name: (job == "yes", facts) for name, job, facts in rows}
    expected = {
        name: (
            event.job,
            "`shared` (8.2)" if event.shared else ", ".join(f"{k} {v}" for k, v in event.facts.items()),
        )
        for name, event in EVENTS.items()
    }
    assert told == expected
    assert set(re.findall(r"^\| `(\w+)` \| (?!yes|may)", section, flags=re.MULTILINE)) == set(KINDS)
