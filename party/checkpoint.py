"""A prepared set on disk, so that a run that was cut need not read its file again.

What lies in the folder is what the preparation keeps anyway (masked points, row numbers, sizes, a party's own
outcomes), and the plain parts of its dataclass as JSON, led by their types. The JSON file is written last and
flushed: a set is there whole or not at all.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from party.spool import Spool, disk_error

PREPARED_FILE: Final = "prepared.json"
T = TypeVar("T")


class Checkpoint:
    """The prepared set of one run in ``folder``; ``bound`` are values that its parts share and nobody writes."""

    def __init__(self, folder: Path, spool: Spool, **bound: Any) -> None:
        self._folder = folder
        self._bound = {"spool": spool, **bound}

    def save(self, prepared: Any, extra: Mapping[str, int]) -> None:
        """Save the dataclass ``prepared`` and a few numbers beside it. Raises ``UsageError`` for a full disk."""
        try:
            plain = self._plain(prepared, "")
            body = json.dumps({"set": plain, "extra": dict(extra)})
            line = json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body})
            partial = self._folder / f"{PREPARED_FILE}.partial"
            with open(partial, "w", encoding="ascii") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            for folder in (self._folder, *(each for each in self._folder.iterdir() if each.is_dir())):
                _flush(folder)
            os.replace(partial, self._folder / PREPARED_FILE)
            _flush(self._folder)
        except OSError as error:
            raise disk_error(error, self._folder) from None

    def extra(self) -> dict[str, int] | None:
        """Return the numbers beside the set that was saved; ``None`` if none is whole."""
        saved = self._read()
        return None if saved is None else saved["extra"]

    def load(self, kind: type[T]) -> T | None:
        """Return the set that was saved as a ``kind``; ``None`` if none is whole."""
        saved = self._read()
        try:
            return None if saved is None else self._built(kind, saved["set"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # it is prepared again

    def _read(self) -> dict[str, Any] | None:
        try:
            outer = json.loads((self._folder / PREPARED_FILE).read_text(encoding="ascii"))
            body = outer["body"]
            whole = hashlib.sha256(body.encode()).hexdigest() == outer["sha256"]
            return json.loads(body) if whole else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    # -- writing

    def _plain(self, value: Any, path: str) -> Any:
        match value:
            case None | bool() | int() | float() | str():
                return value
            case np.integer():
                return int(value)
            case bytes():
                return base64.b64encode(value).decode("ascii")
            case np.ndarray():
                return self._array(value, path)
            case tuple() | list():
                return [self._plain(each, f"{path}-{place}") for place, each in enumerate(value)]
            case Mapping():
                return [[key, self._plain(each, f"{path}-{key}")] for key, each in value.items()]
            case _ if dataclasses.is_dataclass(value):
                return {
                    field.name: self._plain(getattr(value, field.name), f"{path}-{field.name}")
                    for field in dataclasses.fields(value)
                    if field.name not in self._bound
                }
        raise TypeError(f"{type(value).__name__} has no place in a checkpoint")

    def _array(self, array: np.ndarray[Any, Any], path: str) -> list[Any]:
        # Arrays that are mapped from the folder stay where they are; a slice of one is written like any other.
        if isinstance(array, np.memmap) and array.filename is not None:
            mapped = Path(array.filename)
            if mapped.parent == self._folder.resolve() and mapped.stat().st_size == array.nbytes:
                _flush(mapped)
                return [mapped.name, array.dtype.str, list(array.shape)]
        name = f"array{path}.raw"
        with open(self._folder / name, "wb") as file:
            file.write(np.ascontiguousarray(array).tobytes())
        _flush(self._folder / name)
        return [name, array.dtype.str, list(array.shape)]

    # -- reading

    def _built(self, kind: Any, plain: Any) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            if plain is None:
                return None
            (kind,) = (each for each in arguments if each is not type(None))
            return self._built(kind, plain)
        if origin is np.ndarray or kind is np.ndarray:
            return self._mapped(plain)
        if origin is tuple:
            each = [arguments[0]] * len(plain) if arguments[1:] == (...,) else arguments
            return tuple(self._built(one, value) for one, value in zip(each, plain, strict=True))
        if origin is not None and issubclass(origin, Mapping):
            return {key: self._built(arguments[1], value) for key, value in plain}
        if kind is bytes:
            return base64.b64decode(plain, validate=True)
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            names = [field.name for field in dataclasses.fields(kind)]
            values = {
                name: self._bound[name] if name in self._bound else self._built(hints[name], plain[name])
                for name in names
            }
            return kind(**values)  # type: ignore[operator]  # a class, not an instance
        return plain

    def _mapped(self, plain: list[Any]) -> np.ndarray[Any, Any]:
        name, dtype, shape = plain
        path = self._folder / name
        if path.parent != self._folder or 0 in shape:
            return np.empty(shape, dtype=dtype)
        if path.stat().st_size != np.dtype(dtype).itemsize * int(np.prod(shape)):
            raise ValueError("an array is not whole")
        return np.memmap(path, dtype=dtype, mode="r", shape=tuple(shape))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
