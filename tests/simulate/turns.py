"""An event loop without a clock and without threads: whoever drives it decides when a call to a thread is done."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from collections.abc import Callable
from typing import Any, Final

from psi.errors import VeiljoinError

# Whose work it is: tasks and calls inherit it from whoever began them.
OWNER: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("owner", default="")
_SPINS: Final = 8


class TurnLoop(asyncio.SelectorEventLoop):
    """Calls to threads wait in ``calls`` until :meth:`answer` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, asyncio.Future[Any], Callable[[], Any]]] = []
        self._tasks: list[tuple[str, asyncio.Task[Any]]] = []
        self.set_task_factory(self._task)

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **settings: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=self, **settings)
        self._tasks = [each for each in self._tasks if not each[1].done()]
        self._tasks.append((OWNER.get(), task))
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Let a call wait."""
        future: asyncio.Future[Any] = self.create_future()
        self.calls.append((OWNER.get(), future, lambda: func(*args)))
        return future

    def answer(self, pick: random.Random) -> None:
        """Do one of the calls that wait."""
        if not self.calls:
            return
        _, future, call = self.calls.pop(pick.randrange(len(self.calls)))
        if future.cancelled():
            return
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - it is the caller's, as a thread's would be
            future.set_exception(error)
        else:
            future.set_result(result)
        self.spin()

    def finish_cancelled(self, pick: random.Random) -> None:
        """Do those of the calls that were given up which a thread had begun already."""
        self.spin()
        given_up = [each for each in self.calls if each[1].cancelled()]
        self.calls = [each for each in self.calls if not each[1].cancelled()]
        for _, _, call in given_up:
            if pick.random() < 0.5:
                with contextlib.suppress(VeiljoinError):  # nobody waits for it
                    call()

    def spin(self) -> None:
        """Let every task go on until it waits."""
        asyncio.set_event_loop(self)
        for _ in range(_SPINS):
            self.call_soon(self.stop)
            self.run_forever()

    def drop(self, owner: str) -> None:
        """Kill the tasks and the calls of ``owner``: no call of its is done any more."""
        self.calls = [each for each in self.calls if each[0] != owner]
        own = [task for each, task in self._tasks if each == owner]
        for task in own:
            task.cancel()
        while not all(task.done() for task in own):
            # Some wait for others.
            self.spin()
            self.calls = [each for each in self.calls if each[0] != owner]
