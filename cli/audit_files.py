"""Bundles and policies as files: opened with one sentence for whatever is wrong, read with a line of progress."""

from __future__ import annotations

import difflib
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from audit.bundle import VERSION, Bundle, BundleFault, lines_of
from audit.pack import BUNDLE_FILE
from psi.errors import UsageError

_EVERY: Final = 4_096  # lines between two looks at the clock
_PLAIN_SECONDS: Final = 5.0
_TEXT: Final = {
    "en": ("{label}: {lines:,} lines, {rate:,.0f} lines/s", ", {left:.0f} s left"),
    "zh": ("{label}：{lines:,} 行，{rate:,.0f} 行/秒", "，剩余 {left:.0f} 秒"),
}
# What the verifier reads of a policy file; other sections are the node's own business.
_POLICY: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "limits": {
        "min_group": (int,),
        "min_converters": (int,),
        "dominance": (int,),
        "max_set": (int,),
        "max_growth": (int, Decimal),
        "epsilon": (int, Decimal),
    },
    "budget": {"period": (str,), "runs": (int,), "epsilon": (int, Decimal)},
    "audit": {"key": (str,), "unwitnessed": (str,), "basis": (str,)},
}

_PERIOD: Final = re.compile("([1-9][0-9]{0,5}) (hour|day|week)s?")
# Numbers of more digits before or behind the point are no limits of anything.
_LONGEST: Final = 20


class Bundles:
    """Open bundles; a context manager that closes their files. Progress goes to standard error unless ``quiet``."""

    def __init__(self, paths: Sequence[Path], language: str = "en", *, quiet: bool = False) -> None:
        self._closing = ExitStack()
        self._watch = None if quiet else _Watch(language)
        self.bundles: list[Bundle] = []
        labels = _labels(paths)
        try:
            for path, label in zip(paths, labels, strict=True):
                self.bundles.append(self._open(path, label))
        except UsageError:
            self._closing.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
        if self._watch is not None:
            self._watch.end()

    def _open(self, path: Path, label: str) -> Bundle:
        file = _file_of(path)
        try:
            stream = self._closing.enter_context(file.open("rb"))
            size = file.stat().st_size
            return Bundle(label, self._lines(stream, label, size))
        except FileNotFoundError:
            raise UsageError(
                f"There is no file {file}.", hint="check the path", code="missing_file"
            ) from None
        except OSError as error:
            raise _no_reading(str(file), error) from None
        except BundleFault as fault:
            raise unreadable(fault) from None

    def _lines(self, stream: BinaryIO, label: str, size: int) -> Iterator[bytes]:
        try:
            if self._watch is None:
                yield from lines_of(stream)
                return
            watch = self._watch
            watch.begin()
            for number, line in enumerate(lines_of(stream), start=1):
                if number % _EVERY == 0:
                    watch.tell(label, number, stream.tell(), size)
                yield line
        except OSError as error:
            raise _no_reading(label, error) from None


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the files' names, or their paths where names are equal."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _file_of(path: Path) -> Path:
    """Return the bundle at ``path``: the file itself, or that of an evidence pack's folder."""
    if not path.is_dir():
        return path
    if (path / BUNDLE_FILE).is_file():
        return path / BUNDLE_FILE
    raise UsageError(
        f"{path} is a folder without the file {BUNDLE_FILE}.",
        hint="name a bundle that `veiljoin audit export` wrote, or the folder of an evidence pack",
        code="bad_format",
    )


def _no_reading(name: str, error: OSError) -> UsageError:
    return UsageError(
        f"{name} cannot be read: {error.strerror or type(error).__name__}.",
        hint="check the file's permissions and its disk",
        code="unreadable_file",
    )


def unreadable(fault: BundleFault) -> UsageError:
    """Return the sentence for a bundle that cannot be read on."""
    hint = "name a bundle that `veiljoin audit export` wrote; if it is one, ask the party for another copy"
    code = "bad_format"
    if fault.what.startswith("the file is empty"):
        code = "empty_file"
    elif "version" in fault.what:
        hint = f"this program reads version {VERSION}; take the release of Veiljoin that wrote the bundle"
    elif "canonical" in fault.what and fault.line == 1:
        hint = (
            "a bundle begins with a line of JSON; unpack an archive first, and name the bundle that is in it"
        )
    return UsageError(f"{fault.label}, line {fault.line}: {fault.what}.", hint=hint, code=code)


class _Watch:
    """One line on how far the reading is: rewritten at a terminal, now and then elsewhere."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._live = sys.stderr.isatty()
        self._started = self._told = 0.0
        self._shown = False

    def begin(self) -> None:
        """Start the clock of one file."""
        self._started = self._told = time.monotonic()

    def tell(self, label: str, lines: int, done: int, size: int) -> None:
        """Say how far a file was read: ``done`` of ``size`` bytes."""
        now = time.monotonic()
        if now - self._told < (0.2 if self._live else _PLAIN_SECONDS):
            return
        self._told = now
        elapsed = max(now - self._started, 1e-6)
        line, left = _TEXT[self._language]
        text = line.format(label=label, lines=lines, rate=lines / elapsed)
        if 0 < done < size:
            text += left.format(left=elapsed * (size - done) / done)
        if self._live:
            self._shown = True
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove what stands at the terminal."""
        if self._shown:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def say(lines: Iterable[str]) -> None:
    """Print ``lines``, as far as somebody reads them."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, `head` for one, has seen enough. What is still buffered must go somewhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def read_policy(path: Path) -> dict[str, Any]:
    """Read what the verifier looks at in a policy file. Raises ``UsageError`` that names the file and the key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except FileNotFoundError:
        raise UsageError(
            f"There is no policy file {path}.", hint="check the path", code="missing_file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"The policy file {path} is not valid TOML: {error}.",
            hint="write one key on a line, as in min_group = 50 under [limits]",
            code="bad_format",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"The policy file {path} cannot be read: {why}.",
            hint="a policy file is TOML",
            code="unreadable_file",
        ) from None
    return {name: _section(table[name], name, path) for name in _POLICY if name in table}


def _section(section: Any, name: str, path: Path) -> dict[str, Any]:
    if not isinstance(section, dict):
        raise UsageError(f"{name} in {path} is no section.", hint=f"write [{name}] on a line of its own")
    known = _POLICY[name]
    for key, value in section.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"[{name}] has {', '.join(known)}"
            raise UsageError(
                f"There is no setting {key} in [{name}] of {path}.", hint=hint, code="unknown_key"
            )
        if type(value) not in known[key]:
            wanted = "a text" if known[key] == (str,) else "a number"
            raise UsageError(f"{key} in [{name}] of {path} is not {wanted}.", hint=f"write {wanted}")
        if isinstance(value, Decimal) and not (
            value.is_finite() and -_LONGEST <= value.adjusted() <= _LONGEST
        ):
            raise UsageError(
                f"{key} in [{name}] of {path} is out of range.", hint="write a number such as 0.5 or 10"
            )
    told = dict(section)
    if "period" in told:
        told["hours"] = _hours(told.pop("period"), path)
    if told.get("unwitnessed", "closed") not in ("closed", "open"):
        raise UsageError(
            f"unwitnessed in [{name}] of {path} is neither closed nor open.",
            hint='write "closed" or "open"',
        )
    return told


def _hours(period: str, path: Path) -> int:
    """Return the hours of a policy's period, which is written as in a node's policy file."""
    written = _PERIOD.fullmatch(period.strip())
    if written is None:
        raise UsageError(
            f"period in [budget] of {path} is not a length of time.", hint='write one such as "30 days"'
        )
    return int(written[1]) * {"hour": 1, "day": 24, "week": 168}[written[2]]
