"""Write the Python stubs of proto/veiljoin/v1/*.proto, or say whether they are up to date.

    python tools/generate_proto.py            writes the stubs beside their .proto file
    python tools/generate_proto.py --check    changes nothing; exit status 1 when they are not

The stubs are committed, so that installing needs no compiler. They depend on the .proto files and on the
version of grpcio-tools pinned in pyproject.toml, on nothing else. They are imported as ``veiljoin.v1.*``.
"""

from __future__ import annotations

import argparse
import importlib.resources
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent / "proto"
PACKAGE = Path("veiljoin/v1")
STUBS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


def sources(root: Path = ROOT) -> list[Path]:
    """The .proto files, relative to ``root``, sorted."""
    return sorted(path.relative_to(root) for path in (root / PACKAGE).glob("*.proto"))


def stubs(root: Path) -> dict[Path, bytes]:
    """The generated files below ``root``: relative path to content."""
    found = (path for pattern in STUBS for path in (root / PACKAGE).glob(pattern))
    return {path.relative_to(root): path.read_bytes() for path in found}


def generate(out: Path, root: Path = ROOT) -> dict[Path, bytes]:
    """Compile every .proto file into ``out`` and return the stubs; ``SystemExit`` when protoc refuses."""
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={root}",
            f"--proto_path={well_known}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *(str(root / source) for source in sources(root)),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc ended with status {status}; its message above names the file and the line.")
    return stubs(out)


def drift(committed: dict[Path, bytes], fresh: dict[Path, bytes]) -> list[str]:
    """One line for each stub that is missing, stale, or left over from a .proto file that is gone."""
    lines = []
    for path in sorted(committed.keys() | fresh.keys()):
        if path not in committed:
            lines.append(f"proto/{path} is missing")
        elif path not in fresh:
            lines.append(f"proto/{path} has no .proto file any more")
        elif committed[path] != fresh[path]:
            lines.append(f"proto/{path} is not what its .proto file generates")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Generate the gRPC and protobuf stubs.")
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    check: bool = parser.parse_args(arguments).check
    if not sources():
        print(f"There is no .proto file in proto/{PACKAGE}.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
    committed = stubs(ROOT)
    if check:
        lines = drift(committed, fresh)
        for line in lines:
            print(line, file=sys.stderr)
        if lines:
            print("Run `make proto` and commit what it writes.", file=sys.stderr)
        return 1 if lines else 0
    for path in committed.keys() - fresh.keys():
        (ROOT / path).unlink()
    for path, content in fresh.items():
        if committed.get(path) != content:
            (ROOT / path).write_bytes(content)
            print(f"wrote proto/{path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
