"""Loaded by Python at start: a node that cosigns no more while the file VEILJOIN_TEST_WITHHOLD is there.

With ``VEILJOIN_TEST_PATIENCE`` this node itself waits for so many seconds only.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def _install() -> None:
    from party import cosigning, notary

    judge = cosigning.Cosigning.judge

    def withhold(self: Any, partner: str, offer: Any) -> Any:
        if os.path.exists(os.environ.get("VEILJOIN_TEST_WITHHOLD", "")):
            return None
        return judge(self, partner, offer)

    cosigning.Cosigning.judge = withhold  # type: ignore[method-assign]
    patience = float(os.environ.get("VEILJOIN_TEST_PATIENCE", notary.COSIGN_SECONDS))
    notary.Notary.__init__.__kwdefaults__["patience"] = patience


if "run" in sys.orig_argv:
    _install()
