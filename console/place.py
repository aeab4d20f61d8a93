"""The node whose console this is: one open home for the whole process, shared by its threads."""

from __future__ import annotations

import threading
import time
from typing import Final

from fastapi import Request

from console.settings import Settings
from party.apitokens import ApiTokens
from party.idempotency import Idempotency
from party.jobs import Jobs
from party.node import Node
from party.nodefile import BANK
from party.people import People
from party.sessions import Sessions
from party.workroom import Workroom

_REFRESH_SECONDS: Final = 2.0


class Place:
    """An open node with its accounts. Raises ``UsageError`` if the home is no node's or its store can't be opened."""

    def __init__(self, settings: Settings, node: Node | None = None, people: People | None = None) -> None:
        self.settings = settings
        self.node = Node.open(settings.home) if node is None else node
        clock, store = self.node.clock, self.node.home.store
        self.people = People(store, clock) if people is None else people
        self.sessions = Sessions(store, clock, idle=settings.idle, absolute=settings.absolute)
        self.tokens = ApiTokens(store, clock)
        self.idempotency = Idempotency(store, clock)
        self.room = Workroom(self.node.home.folder)
        self._turn = threading.Lock()
        self._refreshed = 0.0

    @property
    def role(self) -> str:
        """Return whose node it is: bank or platform."""
        return self.node.file.role

    @property
    def is_bank(self) -> bool:
        """Return whether it is the bank's."""
        return self.role == BANK

    @property
    def jobs(self) -> Jobs:
        """Return the joint jobs of this side."""
        return Jobs(self.node.home.store, self.role, self.node.clock)

    def refresh(self) -> None:
        """Take up an edited policy, at most every two seconds."""
        with self._turn:
            now = time.monotonic()
            if now - self._refreshed < _REFRESH_SECONDS:
                return
            self._refreshed = now
        # What is wrong with the file is for the policy's page to say; the last good one holds.
        self.node.home.refresh()

    def close(self) -> None:
        """Close the node's store."""
        self.node.close()


def place(request: Request) -> Place:
    """Return the place of the application that serves ``request``."""
    found: Place = request.app.state.place
    return found
