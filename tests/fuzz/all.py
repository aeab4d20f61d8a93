"""Every target by its name, and where it is made; only what it needs is imported.

Making one may take a second or two: honest runs come first.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

from tests.fuzz.target import Target

TARGETS: Final[Mapping[str, tuple[str, str]]] = {
    "session": ("wire", "session"),
    "sums": ("wire", "sums"),
    "control": ("wire", "control"),
    "enrolment": ("wire", "enrolment"),
    "passing": ("wire", "passing"),
    "token": ("papers", "token"),
    "proxy": ("papers", "proxy"),
    "contract": ("papers", "contract"),
    "jobtable": ("papers", "jobtable"),
    "proposal": ("nodes", "proposal"),
    "catalogue": ("nodes", "catalogue"),
    "agent": ("nodes", "agent"),
    "csr": ("keys", "csr"),
    "certificate": ("keys", "certificate"),
    "points": ("keys", "points"),
    "paillier": ("keys", "paillier"),
    "match": ("roles", "match"),
    "sumroles": ("roles", "sum_roles"),
    "logoffer": ("logs", "logoffer"),
    "canonical": ("logs", "canonical"),
    "bundle": ("bundles", "bundle"),
}


def build(name: str) -> Target:
    """Return the target ``name``."""
    module, maker = TARGETS[name]
    target: Target = getattr(importlib.import_module(f"tests.fuzz.{module}"), maker)()
    return target
