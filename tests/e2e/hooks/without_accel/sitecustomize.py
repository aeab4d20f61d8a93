"""Loaded by Python at start: hides the accelerator's packages, as if they had never been installed."""

from __future__ import annotations

from importlib import metadata

_HIDDEN = ("ipp-crypto", "intel-cmplr-lib-rt")
_from_name = metadata.Distribution.from_name


def _without_accel(name: str) -> metadata.Distribution:
    if name in _HIDDEN:
        raise metadata.PackageNotFoundError(name)
    return _from_name(name)


metadata.Distribution.from_name = staticmethod(_without_accel)  # type: ignore[assignment,method-assign]
