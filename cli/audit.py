"""``veiljoin audit verify`` and ``page``: from bundles alone, with nothing but the base install."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Final

from audit.bundle import BundleFault
from audit.pack import PackFault, read_pack
from audit.page import page
from audit.verify import MOST_BUNDLES
from audit.verify import verify as verify_bundles
from cli.audit_files import Bundles, read_policy, say, unreadable
from psi.errors import UsageError

# The exit status where a log was read and found wrong: no fault of the command's, and no error of the user's.
NOT_VERIFIED: Final = 6
_TEXT: Final = {
    "en": "{out} shows job {job}. It is as good as the bundle: veiljoin audit verify {bundle}",
    "zh": "{out} 为任务 {job} 的页面，可信程度取决于日志包：veiljoin audit verify {bundle}",
}


def verify(arguments: argparse.Namespace) -> int:
    """Verify one or two bundles; returns the exit status, 6 where something is wrong."""
    if len(arguments.bundle) > MOST_BUNDLES:
        raise UsageError(
            f"{len(arguments.bundle)} bundles are too many.",
            hint="give one bundle, or those of the two parties; verify several pairs one after the other",
        )
    policy = None if arguments.policy is None else read_policy(arguments.policy)
    with Bundles(arguments.bundle, arguments.lang, quiet=arguments.json) as opened:
        report = verify_bundles(opened.bundles, policy, arguments.identity)
    if arguments.json:
        say([json.dumps(report.to_json(), ensure_ascii=False)])
    else:
        say(report.lines(arguments.lang))
    return 0 if report.passed else NOT_VERIFIED


def make_page(arguments: argparse.Namespace) -> int:
    """Make the page of one job of a bundle; returns the exit status."""
    with Bundles([arguments.bundle], arguments.lang, quiet=arguments.json) as opened:
        try:
            pack = read_pack(opened.bundles[0], arguments.job)
        except PackFault as fault:
            raise no_such_job(fault) from None
        except BundleFault as fault:
            raise unreadable(fault) from None
    _write(arguments.out, page(pack, language=arguments.lang, bundle=arguments.bundle.name))
    if arguments.json:
        print(json.dumps({"page": str(arguments.out), "job": pack.job}, ensure_ascii=False))
    else:
        told = {"out": arguments.out, "job": pack.job[:8], "bundle": arguments.bundle}
        print(_TEXT[arguments.lang].format(**told))
    return 0


def no_such_job(fault: PackFault) -> UsageError:
    """Return the sentence for a job that a bundle does not hold."""
    sentence = str(fault)
    return UsageError(
        f"{sentence[0].upper()}{sentence[1:]}.",
        hint="name a job with --job; `veiljoin audit show BUNDLE` lists entries with their jobs",
        code="unknown_job",
    )


def _write(path: Path, text: str) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"There is a file {path} already.", hint="name another one with --out") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or type(error).__name__}.",
            hint="check the folder and its permissions",
            code="unwritable",
        ) from None
