"""Target: the bundle of a party that an auditor was handed, read and verified."""

from __future__ import annotations

import io

from audit.bundle import Bundle, BundleFault, lines_of
from audit.verify import verify
from psi.errors import PeerViolation
from tests.audit.synthetic_logs import Pair, pack
from tests.fuzz.target import Target, require


def _honest() -> list[bytes]:
    pair = Pair("fuzzed")
    [job] = pair.jobs(["audience"])
    told = [pair.bank.bundle(pair.platform), pair.platform.bundle(pair.bank)]
    return [b"".join(lines) for lines in (*told, pack(pair.bank, pair.platform, job))]


def bundle() -> Target:
    """A bundle either cannot be read, or there is a report; none passes but those that were written."""
    honest = _honest()

    def feed(data: bytes) -> None:
        try:
            report = verify([Bundle("x", lines_of(io.BytesIO(data)))])
        except BundleFault as fault:
            raise PeerViolation(str(fault)) from None  # what the command makes a sentence of
        require(report.passed == (data in honest), "a changed bundle passed, or an honest one did not")
        for language in ("en", "zh"):
            require("\x1b" not in "".join(report.lines(language)), "a report has control characters")

    return Target("bundle", feed, honest, 65_536, quick=60)
