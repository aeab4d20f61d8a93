"""A PostgreSQL server for tests: Debian's package, started on a socket of its own, forgotten afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
# initdb and the server refuse root; this user has nothing anywhere.
UNPRIVILEGED = "nobody"
PASSWORD_DATABASE = "guarded"  # noqa: S105 - a database whose users need a password
_SETTINGS = {"listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer:
    """A running server in a temporary folder; :meth:`schema` makes room for a store and returns its address."""

    def __init__(self) -> None:
        self._bin = INSTALLED[-1].parent
        self._account = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        # Not in pytest's folder: its path is too long for a socket, and closed to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-A", "trust", "-U", "veiljoin", "-E", "UTF8", "--no-locale", "-N").wait()
        access = self.folder / "data" / "pg_hba.conf"
        access.write_text(f"local {PASSWORD_DATABASE} all scram-sha-256\n{access.read_text()}")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        self._process = self._run("postgres", "-k", str(self.folder), *options)
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.conninfo()).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server; connections end at once."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Stop the server and forget what it held."""
        # Without a last checkpoint: nobody will read it.
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def conninfo(self, database: str = "postgres") -> str:
        """Return what psycopg connects to ``database`` with."""
        return f"host={self.folder} user=veiljoin dbname={database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside a transaction."""
        # A context manager of psycopg's would open a transaction's block; this one just closes.
        with contextlib.closing(psycopg.connect(self.conninfo(database), autocommit=True)) as connection:
            connection.execute(statement.encode())

    def schema(self) -> str:
        """Make an empty schema and return the address of a store in it; a database would take a second."""
        name = f"store{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"

    def dump(self, schema: str) -> str:
        """Return what pg_dump makes of ``schema``."""
        command = [
            str(self._bin / "pg_dump"),
            "-h",
            str(self.folder),
            "-U",
            "veiljoin",
            "-n",
            schema,
            "postgres",
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def run_script(self, script: str) -> None:
        """Run what :meth:`dump` returned."""
        command = [
            str(self._bin / "psql"),
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            str(self.folder),
            "-U",
            "veiljoin",
        ]
        subprocess.run([*command, "postgres"], check=True, input=script, text=True, stdout=subprocess.DEVNULL)

    def url(self, database: str, user: str = "veiljoin", password: str = "") -> str:
        """Return the address of ``database``."""
        secret = f":{password}" if password else ""
        return f"postgresql+psycopg://{user}{secret}@/{database}?host={self.folder}"

    def _run(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        as_user = {}
        if self._account is not None:
            as_user = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                [self._bin / program, "-D", self.folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **as_user,
            )
