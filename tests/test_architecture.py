"""The shape of the tree: who may import whom, what psi may touch, what no file may name."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parent.parent
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
PACKAGES = {
    path.parent.name: path.parent
    for path in sorted([*ROOT.glob("*/__init__.py"), *ROOT.glob("proto/*/__init__.py")])
}
LOADERS = {"engines", "libsodium.py"}  # parts of psi that look for native libraries and at the processor
LONGEST_MODULE = 500  # lines; one idea per module
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
# Left out where git cannot say what belongs to the tree (a source archive).
NOT_SOURCE = re.compile(
    r"(^|/)(\.git|\.venv[^/]*|\.[a-z_]+_cache|\.hypothesis|__pycache__|build|dist|[^/]+\.egg-info)(/|$)"
)
# In pieces, so that this file does not name what it forbids.
HOSTS = ["pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org"]
FORBIDDEN = re.compile(
    "|".join([r"(?<![\w.~-])/(work|root|tmp)" + r"/", *map(re.escape, HOSTS)]),
)


def modules(package: Path) -> Iterator[Path]:
    """The modules of a package that people wrote."""
    return (path for path in sorted(package.rglob("*.py")) if not GENERATED.search(path.name))


def tree() -> list[Path]:
    """Every file that is, or would be, committed."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not NOT_SOURCE.search(path.relative_to(ROOT).as_posix())]
    return sorted(path for path in paths if path.is_file())


def test_imports_run_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_nothing_is_raised_out_of_except_star() -> None:
    # Until Python 3.11.3 such an error comes out inside a group, past every handler (python/cpython gh-103590).
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES.values()
        for path in modules(package)
        if any(isinstance(node, ast.TryStar) for node in ast.walk(ast.parse(path.read_bytes())))
    ]
    assert found == []


def test_every_package_is_under_the_import_contracts() -> None:
    assert sorted(PACKAGES) == sorted(SETTINGS["importlinter"]["root_packages"])


def test_every_package_is_installed() -> None:
    patterns = SETTINGS["setuptools"]["packages"]["find"]["include"]
    assert {f"{name}*" for name in PACKAGES} <= set(patterns)


def test_proto_is_no_package() -> None:
    # It would shadow the module `proto` of proto-plus.
    assert not (ROOT / "proto" / "__init__.py").exists()


def test_every_package_says_that_it_is_typed() -> None:
    assert [name for name, folder in PACKAGES.items() if not (folder / "py.typed").is_file()] == []


def test_every_folder_of_modules_is_a_package() -> None:
    # A folder without __init__.py is left out of the wheel.
    folders = {path.parent for package in PACKAGES.values() for path in modules(package)}
    assert [
        str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").is_file()
    ] == []


def test_psi_opens_no_file() -> None:
    guilty = []
    for path in modules(PACKAGES["psi"]):
        if path.relative_to(PACKAGES["psi"]).parts[0] in LOADERS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [node.func.id]
            if {name.partition(".")[0] for name in names} & {"io", "open", "os", "pathlib"}:
                guilty.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert guilty == []


def test_no_module_is_too_long() -> None:
    lengths = {
        path: len(path.read_text().splitlines()) for package in PACKAGES.values() for path in modules(package)
    }
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > LONGEST_MODULE} == {}


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("see /" + "work/main", True),
        ('"/' + 'tmp/x"', True),
        ("https://pypi" + ".org/simple", True),
        ("bench/" + "work/rows", False),
        ("$(TMPDIR)/" + "x", False),
    ],
)
def test_the_search_for_machine_names_finds_them(text: str, forbidden: bool) -> None:
    assert bool(FORBIDDEN.search(text)) is forbidden


def test_no_file_names_a_machine_or_a_registry() -> None:
    guilty = []
    for path in tree():
        content = path.read_bytes()
        if b"\0" in content:  # a picture or another binary file
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            if FORBIDDEN.search(line):
                guilty.append(f"{path.relative_to(ROOT)}:{number}")
    assert guilty == []
