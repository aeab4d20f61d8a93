"""Masking engines: batches of group elements times one secret scalar, behind one interface.

All engines of a suite return identical bytes, so that the choice is a matter of the machine alone and two
parties may run different ones. :func:`open_engine` picks the first of the suite's order that can run here.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from psi.engines.pool import Kernel, PooledEngine
from psi.errors import UsageError
from psi.secret import Scalar
from psi.suites import Suite, suggestion


class Engine(Protocol):
    """One opened engine. Not meant for two callers at once: an engine uses all its threads for each batch."""

    name: str
    threads: int

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        """Multiply each of n encoded elements (n x 32 bytes, n >= 0) by ``scalar``, keeping the order.

        Raises :class:`~psi.errors.PeerViolation` with the index of the first element whose mask would be the
        identity or that does not decode, :class:`~psi.errors.UsageError` (``engine_unavailable``) when the
        engine lost a process it works with, and ``ValueError`` for other lengths than n x 32.
        """

    def hash_and_mask(self, tag: bytes, identifiers: Sequence[bytes], scalar: Scalar) -> bytes:
        """Hash n identifiers to the group under the domain separation tag ``tag``, then :meth:`mask` them.

        Raises what :meth:`mask` raises, and ``ValueError`` for a tag that is empty or over 255 bytes and for an
        identifier over 65,535 bytes, whatever the size of the batch.
        """

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids of the worker processes that run now."""

    def close(self) -> None:
        """End the worker processes; a second call does nothing."""


class _KernelModule(Protocol):
    """What each kernel's module offers."""

    SMALLEST: int
    """Elements below which a batch is not worth a worker process."""

    def reason_unusable(self) -> str | None:
        """Return one sentence that says why the kernel cannot run here, or None when it can."""

    def multiply(self, points: bytes, secret: bytes) -> bytes:
        """Multiply each of n encoded elements by the scalar; all-zero where there is no valid product."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Whether one engine can run on this machine, and if not, one sentence why (else empty)."""

    name: str
    usable: bool
    reason: str


_MODULES: Final[Mapping[str, str]] = {
    "crypto_mb": "psi.engines.crypto_mb",
    "cryptography": "psi.engines.pyca",
    "sodium": "psi.engines.sodium",
}


def available(suite: Suite) -> list[EngineStatus]:
    """Return the suite's engines in order of preference, each with whether it can run here.

    The engine that :func:`open_engine` picks is the first usable one; what stands before it, with its reason,
    is what was passed over.
    """
    statuses = []
    for name in suite.engines:
        reason = _module(name).reason_unusable()
        statuses.append(EngineStatus(name, usable=reason is None, reason=reason or ""))
    return statuses


def open_engine(suite: Suite, force: str | None = None, threads: int | None = None) -> Engine:
    """Open the engine ``force``, or the first of the suite's order that can run here.

    ``threads`` defaults to the processors this process may use. Raises :class:`~psi.errors.UsageError`:
    ``bad_setting`` for a name the suite does not have or a number of threads below 1, ``engine_unavailable``
    with the reason when the forced one, or every one, cannot run here.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"A masking engine cannot run on {threads} threads.", hint="Give 1 or more.")
    threads = threads or usable_processors()
    if force is not None:
        if force not in suite.engines:
            raise UsageError(
                f"Suite {suite.id} has no masking engine called {force!r}.",
                hint=suggestion(force, suite.engines),
            )
        reason = _module(force).reason_unusable()
        if reason is not None:
            raise UsageError(
                f"The masking engine {force!r} cannot run here: {reason}",
                hint="Leave the engine open to take the best one this machine can run.",
                code="engine_unavailable",
            )
        return _open(suite, force, threads)
    statuses = available(suite)
    for status in statuses:
        if status.usable:
            return _open(suite, status.name, threads)
    reasons = " ".join(f"{status.name}: {status.reason}" for status in statuses)
    raise UsageError(
        f"No masking engine of suite {suite.id} can run here. {reasons}",
        hint="Install the extra 'node', which brings an engine for every suite.",
        code="engine_unavailable",
    )


def usable_processors() -> int:
    """Return how many processors this process may run on (its affinity where the system tells, else all)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kernel_of(name: str) -> Kernel:
    """Return the kernel of the engine ``name``: one thread, in this process."""
    return _module(name).multiply


def _open(suite: Suite, name: str, threads: int) -> Engine:
    module = _module(name)
    return PooledEngine(suite, name, module.multiply, threads, module.SMALLEST)


def _module(name: str) -> _KernelModule:
    # Imported when asked for: an engine's libraries are large, and may not be installed.
    return cast(_KernelModule, importlib.import_module(_MODULES[name]))
