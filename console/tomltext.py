"""A job's table as the text of a job file, for people to read, copy and run elsewhere (TOML 1.0)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from psi.errors import UsageError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_DEEPEST: Final = 2


def toml_text(table: Mapping[str, Any]) -> str:
    """Return ``table``, which is a job's that was checked, as TOML that reads as the same table.

    Raises ``UsageError`` for text that no file can hold (half of a surrogate pair).
    """
    text = "\n".join(_section(table, ())).strip("\n") + "\n"
    check_text(text)
    return text


def check_text(text: str) -> None:
    """Raise ``UsageError`` for text that UTF-8 has no bytes for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "The job file holds a character that is no text.", hint="write it anew", code="bad_encoding"
        ) from None


def _section(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a section: its values first, for what follows a header belongs to that."""
    if path:
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    for name, value in table.items():
        if not _is_section(value, path):
            yield f"{_key(name)} = {_value(value)}"
    for name, value in table.items():
        if _is_section(value, path):
            yield from _section(value, (*path, name))


def _is_section(value: object, path: tuple[str, ...]) -> bool:
    return isinstance(value, Mapping) and len(path) < _DEEPEST


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _string(text: str) -> str:
    # JSON's escapes are TOML's too, except that TOML wants one for DEL as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
