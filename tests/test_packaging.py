"""The wheel: what is in it, that it works without the checkout, and that stubs and dependencies fit."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = ("base", "node", "console", "accel", "dev", "build")
# The import names of the extra `console`.
CONSOLE = ["argon2", "babel", "fastapi", "jinja2", "python_multipart", "starlette", "uvicorn"]
STUBS = ROOT / "proto" / "veiljoin" / "v1"
IGNORED = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "docs", "tests", "tools", "requirements"
)
# No index, no environment of the person who runs the tests.
PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input", "-qq"]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside the checkout, with no PYTHONPATH but what ``environment`` says."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command,
        env=inherited | environment,
        cwd=Path(sys.prefix),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy, so that the checkout gets no build folder."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=IGNORED)
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    run([*PIP, "wheel", *offline, "--wheel-dir", str(folder), str(folder / "source")])
    (path,) = folder.glob("veiljoin-*.whl")
    return path


@pytest.fixture(scope="session")
def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run([*PIP, "install", "--no-index", "--no-deps", "--target", str(folder), str(wheel)])
    return folder


def packaged() -> set[str]:
    """What the wheel must hold: every file of every package but documents and what benchmarks wrote."""
    names: set[str] = set()
    for base in (ROOT, ROOT / "proto"):
        for package in (path.parent for path in base.glob("*/__init__.py")):
            files = (
                path for path in package.rglob("*") if path.is_file() and path.suffix not in {".md", ".pyc"}
            )
            names.update(path.relative_to(base).as_posix() for path in files)
    results = {name for name in names if name.startswith("bench/") and not name.endswith((".py", "py.typed"))}
    return names - results


def metadata(contents: dict[str, bytes], name: str) -> str:
    (path,) = (path for path in contents if path.endswith(f".dist-info/{name}"))
    return contents[path].decode()


def test_wheel_holds_every_package_and_nothing_else(contents: dict[str, bytes]) -> None:
    code = {name for name in contents if ".dist-info/" not in name}
    assert code == packaged()


def test_wheel_holds_stubs_proto_files_and_type_markers(contents: dict[str, bytes]) -> None:
    assert {"psi/py.typed", "veiljoin/py.typed"} <= contents.keys()
    proto_files = [name for name in contents if name.endswith(".proto")]
    assert proto_files
    for name in proto_files:
        stem = name.removesuffix(".proto")
        assert {f"{stem}_pb2.py", f"{stem}_pb2.pyi", f"{stem}_pb2_grpc.py"} <= contents.keys()


def test_wheel_carries_licence_and_command(contents: dict[str, bytes]) -> None:
    assert "Apache License" in metadata(contents, "licenses/LICENSE")
    points = configparser.ConfigParser()
    points.read_string(metadata(contents, "entry_points.txt"))
    assert dict(points["console_scripts"]) == {"veiljoin": "cli.main:command"}


def test_installed_command_runs_without_the_checkout(installed: Path) -> None:
    done = run([sys.executable, str(installed / "bin" / "veiljoin"), "--help"], PYTHONPATH=str(installed))
    assert "usage: veiljoin" in done.stdout.lower()


def test_installed_stubs_import_without_the_checkout(installed: Path) -> None:
    script = "import veiljoin.v1.session_pb2_grpc as stubs, psi; print(stubs.__file__); print(psi.__file__)"
    done = run([sys.executable, "-c", script], PYTHONPATH=str(installed))
    assert all(Path(line).is_relative_to(installed) for line in done.stdout.splitlines())


def test_command_shows_its_help() -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
    done = run([sys.executable, "-m", "cli.main", "--help"], PYTHONPATH=paths)
    assert "usage: veiljoin" in done.stdout.lower()


def test_command_needs_no_more_than_the_base(installed: Path) -> None:
    # The import names of the extra `node`; None in sys.modules makes importing them fail.
    absent = ["duckdb", "gmpy2", "google.protobuf", "grpc", "numpy", "phonenumbers", "pyarrow", "rbcl"]
    absent += ["phe", "sqlalchemy", "tzdata", *CONSOLE]
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); sys.argv = ['veiljoin', '--help']\n"
        "from cli.main import main; sys.exit(main())"
    )
    done = run([sys.executable, "-c", script], PYTHONPATH=str(installed))
    assert "usage: veiljoin" in done.stdout.lower()


def test_a_node_needs_nothing_of_the_console(installed: Path) -> None:
    # The commands that run nodes and jobs, and the store with its tables of people.
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({CONSOLE}))\n"
        "import cli.server, cli.client, cli.job, cli.node, client.dialer, server.listener, party.store, party.agent"
    )
    run([sys.executable, "-c", script], PYTHONPATH=str(installed))


def test_benchmark_beside_phe_says_how_to_get_it(installed: Path) -> None:
    script = (
        "import sys; sys.modules['phe'] = None; sys.argv = ['veiljoin', 'bench', 'sum']\n"
        "from cli.main import main; status = main(); print(f'status {status}')"
    )
    done = run([sys.executable, "-c", script], PYTHONPATH=str(installed))
    assert done.stdout == "status 2\n"
    assert "the package phe, which is not installed" in done.stderr
    assert "pip install phe" in done.stderr


def lower_bound(package: str) -> tuple[int, ...]:
    (requirement,) = (line for line in EXTRAS["node"] if line.startswith(f"{package}>="))
    return version(requirement.partition(">=")[2])


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize(
    ("package", "pattern", "suffix"),
    [
        ("protobuf", r"# Protobuf Python Version: ([\d.]+)", "_pb2.py"),
        ("grpcio", r"GRPC_GENERATED_VERSION = '([\d.]+)'", "_pb2_grpc.py"),
    ],
)
def test_lowest_allowed_runtime_is_not_older_than_the_stubs(package: str, pattern: str, suffix: str) -> None:
    # Stubs refuse to load under a runtime that is older than the compiler that wrote them.
    files = sorted(STUBS.glob(f"*{suffix}"))
    assert files
    for path in files:
        match = re.search(pattern, path.read_text())
        assert match, path.name
        assert version(match[1]) <= lower_bound(package), path.name


@pytest.mark.parametrize("name", LOCKS)
def test_locks_are_hash_pinned_and_name_no_place(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links|file:|(?<![\w.])/", text)


def pins(lock: str) -> dict[str, str]:
    """Package to version, as one lock pins them."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", text, re.MULTILINE))


def test_locks_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for package, pinned in pins(lock).items():
            versions.setdefault(package, set()).add(pinned)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("base", PROJECT["project"]["dependencies"]),
        ("node", [*PROJECT["project"]["dependencies"], *EXTRAS["node"]]),
        ("console", [*PROJECT["project"]["dependencies"], *EXTRAS["node"], *EXTRAS["console"]]),
        ("accel", EXTRAS["accel"]),
        (
            "dev",
            [
                *PROJECT["project"]["dependencies"],
                *(line for name in EXTRAS if name != "accel" for line in EXTRAS[name]),
            ],
        ),
        ("build", PROJECT["build-system"]["requires"]),
    ],
)
def test_lock_fits_what_pyproject_asks_for(lock: str, wanted: list[str]) -> None:
    # A range changed without `make lock` would install something else than what is declared.
    pinned = pins(lock)
    requirements = [Requirement(line) for line in wanted]
    assert [r.name for r in requirements if not r.specifier.contains(pinned.get(r.name, "0"))] == []
