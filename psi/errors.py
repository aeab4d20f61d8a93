"""What can go wrong, said once for every layer.

    VeiljoinError
    ├── UsageError        our side: input, setting or machine (a person here can mend it)
    ├── PolicyRefusal     our side: a limit of the contract or of the policy was met
    ├── PeerViolation     the partner sent what the protocol forbids
    ├── PeerAborted       the partner ended the job and told us a code, no more
    └── LinkLost          the partner, or the network to it, went away

Every error is one sentence that names the thing and one hint for the person who meets it. The partner
never sees either: it learns ``error.code.peer`` (a short fixed word), so that no column name, path, count
or value can leak through an error. Neither sentence nor hint may hold a cell of anybody's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """A stable error code and how each edge shows it.

    ``exit`` is the status of the command, ``grpc`` and ``http`` the status at those edges, ``peer`` the word
    the partner is told, ``meaning`` the text of the reference table in the documentation.
    """

    name: str
    exit: int
    grpc: str
    http: int
    peer: str
    meaning: str


def _table(*rows: tuple[str, int, str, int, str, str]) -> dict[str, Code]:
    return {row[0]: Code(*row) for row in rows}


# name, exit, gRPC status, HTTP status, what the partner is told, meaning
CODES: Final[dict[str, Code]] = _table(
    ("bad_setting", 2, "INVALID_ARGUMENT", 422, "setup_failed", "a setting has an impossible value"),
    ("unknown_key", 2, "INVALID_ARGUMENT", 422, "setup_failed", "a key that no setting has"),
    ("missing_file", 2, "FAILED_PRECONDITION", 422, "input_refused", "a file is not there"),
    ("unreadable_file", 2, "FAILED_PRECONDITION", 422, "input_refused", "a file cannot be read"),
    ("empty_file", 2, "FAILED_PRECONDITION", 422, "input_refused", "a file holds no row"),
    ("missing_column", 2, "FAILED_PRECONDITION", 422, "input_refused", "a column is not in the file"),
    ("bad_encoding", 2, "FAILED_PRECONDITION", 422, "input_refused", "a text encoding does not fit the file"),
    ("bad_format", 2, "FAILED_PRECONDITION", 422, "input_refused", "a file is not what its format says"),
    ("form_mismatch", 2, "FAILED_PRECONDITION", 422, "input_refused", "identifiers are in another form"),
    ("all_rejected", 2, "FAILED_PRECONDITION", 422, "input_refused", "no row holds a usable identifier"),
    ("file_changed", 2, "ABORTED", 409, "input_refused", "a file changed while the job ran"),
    ("unwritable", 2, "FAILED_PRECONDITION", 422, "paused", "a folder or file cannot be written"),
    ("no_space", 2, "RESOURCE_EXHAUSTED", 507, "paused", "the disk is full"),
    ("port_taken", 2, "UNAVAILABLE", 503, "setup_failed", "the listening address is in use"),
    ("engine_unavailable", 2, "FAILED_PRECONDITION", 503, "paused", "an engine cannot run here"),
    ("missing_package", 2, "FAILED_PRECONDITION", 503, "setup_failed", "an optional part is not installed"),
    ("store_unavailable", 2, "UNAVAILABLE", 503, "paused", "the store is locked or out of reach"),
    ("unknown_job", 2, "NOT_FOUND", 404, "setup_failed", "there is no such job"),
    ("wrong_state", 2, "FAILED_PRECONDITION", 409, "setup_failed", "the job's state does not allow that"),
    ("over_limit", 3, "FAILED_PRECONDITION", 422, "limit_exceeded", "a set exceeds the contract's limit"),
    ("too_small", 3, "FAILED_PRECONDITION", 422, "policy_refused", "a set or tier is below min_group"),
    ("over_budget", 3, "RESOURCE_EXHAUSTED", 429, "policy_refused", "the privacy budget is spent"),
    ("not_allowed", 3, "PERMISSION_DENIED", 403, "policy_refused", "this person may not do that"),
    ("bad_contract", 3, "FAILED_PRECONDITION", 409, "contract_refused", "the contract does not fit"),
    ("peer_violation", 4, "INVALID_ARGUMENT", 502, "protocol_violation", "the partner broke the protocol"),
    ("peer_identity", 4, "PERMISSION_DENIED", 403, "identity_refused", "the partner is not who it should be"),
    ("peer_aborted", 4, "ABORTED", 502, "aborted", "the partner ended the job"),
    ("cosign_refused", 4, "ABORTED", 502, "not_cosigned", "the partner did not cosign the log"),
    ("link_lost", 5, "UNAVAILABLE", 503, "link_lost", "the connection to the partner ended"),
    ("peer_absent", 5, "DEADLINE_EXCEEDED", 504, "link_lost", "the partner did not appear in time"),
    ("begun_anew", 5, "ABORTED", 409, "begun_anew", "what a run had reached is lost on one side"),
    ("cancelled", 130, "CANCELLED", 499, "cancelled", "a person stopped the job"),
    ("internal", 1, "INTERNAL", 500, "failed", "a fault in this program"),
)

# The only words a partner can be told; anything else that arrives as a code is shown as "unknown".
PEER_WORDS: Final[frozenset[str]] = frozenset(code.peer for code in CODES.values())


class VeiljoinError(Exception):
    """One sentence, one hint, one code of :data:`CODES`."""

    default_code = "internal"

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = CODES[code or self.default_code]

    def __str__(self) -> str:
        return f"{self.message} Hint: {self.hint}" if self.hint else self.message


class UsageError(VeiljoinError):
    """A person on our side can mend it: a file, a column, a setting, the machine."""

    default_code = "bad_setting"


class PolicyRefusal(VeiljoinError):
    """A limit of the contract or of our policy ended the job; nothing was released by it."""

    default_code = "over_limit"


class PeerViolation(VeiljoinError):
    """The partner sent something the protocol forbids; the session is closed and nothing is kept."""

    default_code = "peer_violation"


class PeerAborted(VeiljoinError):
    """The partner ended the job; ``peer_code`` is all it said."""

    default_code = "peer_aborted"

    def __init__(self, message: str, *, peer_code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.peer_code = peer_code


class LinkLost(VeiljoinError):
    """The stream ended without the declared end of the protocol."""

    default_code = "link_lost"
