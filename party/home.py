"""A party's home: the folder with its policy and with what it must remember between jobs.

policy.toml      the policy; without it the default one holds
store.sqlite     budget, ledger and jobs (mode 0600)
ledger/          sketches of earlier inputs and their key (mode 0700)
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa

from party.budget import Budget, Clock, local_clock
from party.history import History
from party.ledger import Ledger
from party.policy import DEFAULT_POLICY, Policy, load_policy
from party.policydigest import note_policy
from party.spool import disk_error
from party.store import Store
from psi.errors import UsageError

POLICY_FILE: Final = "policy.toml"
STORE_FILE: Final = "store.sqlite"
LEDGER_FOLDER: Final = "ledger"
_PRIVATE: Final = 0o700
_State = tuple[int, int, int] | None


class Home:
    """An open home; a context manager that closes its store. Made by :meth:`open`."""

    def __init__(self, folder: Path, policy: Policy, store: Store, clock: Clock) -> None:
        self.folder = folder
        self.policy = policy
        self._policy_state = _state(folder / POLICY_FILE)
        self._refused_state: _State = self._policy_state
        self.store = store
        self._clock = clock

    @classmethod
    def open(cls, path: str | Path, clock: Clock = local_clock, store: str | sa.URL | None = None) -> Home:
        """Open the home at ``path``; a folder that isn't there is made, and nobody else may enter it.

        ``store`` is the address of a store that lies elsewhere (``party.store``). A policy that is another than
        before is in the log, where the store has one, before anybody acts by it. Raises ``UsageError`` that names the
        file or folder.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"The home {folder} is a file.", hint="name a folder", code="unwritable")
        try:
            for each in (folder, folder / LEDGER_FOLDER):
                each.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
                # One that was there may be open to others, and it holds a key.
                if each.stat().st_mode & 0o077:
                    each.chmod(_PRIVATE)
        except OSError as error:
            raise disk_error(error, folder) from None
        policy_file = folder / POLICY_FILE
        policy = load_policy(policy_file) if policy_file.exists() else DEFAULT_POLICY
        # Not as text, in which a path with a question mark would end there.
        own = sa.URL.create("sqlite", database=str((folder / STORE_FILE).resolve()))
        home = cls(folder, policy, Store(store or own), clock)
        with ExitStack() as undo:
            undo.callback(home.close)
            note_policy(home.store, policy, clock().timestamp())
            undo.pop_all()
        return home

    def refresh(self) -> UsageError | None:
        """Take up a policy that was changed since; one that can't be read leaves the last good one in force.

        Returns what is wrong with the file, once. Raises ``UsageError`` where the store fails.
        """
        path = self.folder / POLICY_FILE
        state = _state(path)
        if state in (self._policy_state, self._refused_state):
            return None
        try:
            policy = load_policy(path) if state is not None else DEFAULT_POLICY
        except UsageError as error:
            self._refused_state = state
            return error
        note_policy(self.store, policy, self._clock().timestamp())
        self.policy, self._policy_state = policy, state
        return None

    def budget(self) -> Budget:
        """Return the budget under this home's policy."""
        return Budget(self.store, self.policy.budget, self._clock)

    def ledger(self, dataset: str, partner: str) -> Ledger:
        """Return the ledger of ``dataset`` and ``partner``; it remembers as long as the budget's period."""
        period = self.policy.budget.period
        return Ledger(self.store, self.folder / LEDGER_FOLDER, dataset, partner, period, self._clock)

    def history(self) -> History:
        """Return the jobs that this party has run."""
        return History(self.store, self._clock)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _state(path: Path) -> _State:
    """Return by what a change of the file is known; ``None`` where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(error, path) from None
    return status.st_mtime_ns, status.st_size, status.st_ino
