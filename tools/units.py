"""The units of deploy/ under a live systemd, as docs/operations.md installs them; exit status 1 when one falls short.

Makes a Debian with debootstrap in FOLDER (1 GB; used again when it is there), installs this checkout into its
/opt/veiljoin, boots it with systemd-nspawn, and takes a bank on PostgreSQL, its console and a platform from nothing
through two jobs, a SIGKILL, a node that hangs, and a reboot. To be run as root, on a Debian with the packages
debootstrap and systemd-container: `make units`. The machine's network is shared: the ports below have to be free.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = "python3,python3-venv,ca-certificates,systemd,systemd-sysv,dbus,postgresql"
NAMES: Final = ("veiljoin-bank", "veiljoin-platform", "veiljoin-console@bank")
BANK, PLATFORM = "/var/lib/veiljoin/bank", "/var/lib/veiljoin/platform"
LISTEN: Final = "127.0.0.1:27443"
STORE: Final = "postgresql:///veiljoin?host=/run/postgresql&port=27446"
OPTIONS: Final = {
    "bank": "--metrics 127.0.0.1:27447 --grace 30",
    "platform": "--metrics 127.0.0.1:27448 --grace 30",
    "console-bank": "--listen 127.0.0.1:27449",
}
PATIENCE: Final = 120.0
# Instead of the unit's 180 s, so that waiting for it takes no longer than it has to.
WATCHDOG: Final = 20
JOBS: Final = {
    "measure": (ROOT / "examples" / "measure" / "JOB.toml").read_text(encoding="utf-8"),
    "audience": 'kind = "audience"\npurpose = "win back"\nidentifier = "phone"\nreceiver = "platform"\n'
    '[bank]\nidentifier = "mobile"\n[platform]\nidentifier = "phone"\n',
}


class Machine:
    """A Debian in ``folder`` that is booted and shut down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def make(self) -> None:
        """Install Debian, unless it is there, and take what an earlier trial left away."""
        if not (self.folder / "etc" / "veiljoin-trial").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            command = [
                "debootstrap",
                "--variant=minbase",
                f"--include={PACKAGES}",
                "bookworm",
                str(self.folder),
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (self.folder / "etc" / "veiljoin-trial").touch()
        for file in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
            shutil.copyfile(Path("/") / file, self.folder / file)
        for left in ("opt/source", "var/lib/veiljoin", "srv/data", "var/log/journal"):
            shutil.rmtree(self.folder / left, ignore_errors=True)
        for link in (self.folder / "etc" / "systemd" / "system").glob("*.wants/veiljoin-*"):
            link.unlink()
        clone = ["git", "clone", "-q", str(ROOT), str(self.folder / "opt" / "source")]
        subprocess.run(clone, check=True)

    def inside(self, script: str) -> None:
        """Run shell commands while nothing runs there."""
        command = ["systemd-nspawn", "-q", "-D", str(self.folder), "--register=no", "--keep-unit"]
        environment = ("--setenv=PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "--setenv=LANG=C.UTF-8")
        subprocess.run([*command, *environment, "sh", "-ec", script], check=True, stdin=subprocess.DEVNULL)

    def boot(self) -> None:
        """Boot, until systemd says that it is done."""
        command = ["systemd-nspawn", "-q", "-D", str(self.folder), "--boot", "--register=no", "--keep-unit"]
        log = subprocess.DEVNULL
        self._nspawn = subprocess.Popen(command, stdin=log, stdout=log, stderr=log)
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        wait("systemd", lambda: bool(children.read_text().split()))
        self._leader = int(children.read_text().split()[0])
        wait("boot", lambda: self.ask("systemctl is-system-running || true") in ("running", "degraded"))
        if failed := self.ask("systemctl list-units --failed --plain --no-legend"):
            raise SystemExit(f"Failed while booting: {failed}")

    def halt(self) -> None:
        """Shut down in order."""
        if self._nspawn is not None:
            self.ask("systemctl poweroff || true")
            self._nspawn.wait(PATIENCE)
            self._nspawn = None

    def kill(self) -> None:
        """End it, whatever it does: with its first process everything in it ends, but not with systemd-nspawn."""
        if self._nspawn is not None:
            if self._leader:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._leader, signal.SIGKILL)
            else:
                self._nspawn.kill()
            self._nspawn.wait(PATIENCE)

    def ask(self, script: str) -> str:
        """Run shell commands in the booted machine; returns what they print."""
        enter = [
            "nsenter",
            "-t",
            str(self._leader),
            "-a",
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin",
            "LANG=C.UTF-8",
        ]
        told = subprocess.run([*enter, "sh", "-ec", script], check=False, capture_output=True, text=True)
        if told.returncode != 0 and "-system-running" not in script:
            raise SystemExit(f"{script}\n{told.stdout}{told.stderr}")
        return told.stdout.strip()

    def veiljoin(self, *arguments: str) -> str:
        """Run the command as the nodes' user."""
        command = ("runuser", "-u", "veiljoin", "--", "/opt/veiljoin/bin/veiljoin", *arguments)
        return self.ask(f"cd /var/lib/veiljoin; {shlex.join(command)}")

    def facts(self, *arguments: str) -> dict[str, Any]:
        """The last line that a command prints with ``--json``."""
        told: dict[str, Any] = json.loads(self.veiljoin(*arguments, "--json").splitlines()[-1])
        return told

    def property(self, unit: str, name: str) -> str:
        """What systemd knows of a unit."""
        return self.ask(f"systemctl show -P {name} {unit}")

    def active(self, unit: str) -> bool:
        """Return whether a unit runs."""
        return self.property(unit, "ActiveState") == "active"

    def restarted(self, unit: str) -> bool:
        """Return whether systemd has started a unit again, once, and it runs."""
        return self.property(unit, "NRestarts") == "1" and self.active(unit)

    def state_is(self, home: str, job: str, state: str) -> bool:
        """Return whether a job is in ``state``, as a home knows it."""
        known = self.facts("job", "list", "--home", home)["jobs"]
        return any(each["job"] == job and each["state"] == state for each in known)

    def online(self) -> bool:
        """Return whether the platform has reached its bank since its node was started."""
        invocation = self.property("veiljoin-platform", "InvocationID")
        return '"online"' in self.ask(f"journalctl -o cat --no-pager _SYSTEMD_INVOCATION_ID={invocation}")


def wait(what: str, holds: Callable[..., bool], *arguments: object) -> None:
    """Wait until ``holds(*arguments)``; ends the trial if it never does."""
    end = time.monotonic() + PATIENCE
    while not holds(*arguments):
        if time.monotonic() > end:
            raise SystemExit(f"Waited {PATIENCE:g} s in vain: {what}")
        time.sleep(0.5)


def done(what: str) -> None:
    """Say what was seen."""
    print(f"ok  {what}", flush=True)


def install(machine: Machine) -> None:
    """Install Veiljoin and the units, as docs/operations.md says, and a database for the bank."""
    options = " ".join(
        f"printf 'VEILJOIN_OPTIONS={value}\\n' > /etc/veiljoin/{name}.env;" for name, value in OPTIONS.items()
    )
    machine.inside(
        f"""
        id veiljoin 2>/dev/null || useradd --system --home-dir /var/lib/veiljoin veiljoin
        cd /opt/source
        test -d /opt/veiljoin || python3 -m venv /opt/veiljoin
        /opt/veiljoin/bin/pip -q install --require-hashes -r requirements/build.lock -r requirements/console.lock
        /opt/veiljoin/bin/pip -q install --force-reinstall --no-deps --no-build-isolation .
        install -m 644 deploy/*.service /etc/systemd/system/
        install -d /etc/veiljoin; {options}
        install -d /etc/systemd/system/veiljoin-platform.service.d
        printf '[Service]\\nWatchdogSec={WATCHDOG}\\n' > /etc/systemd/system/veiljoin-platform.service.d/trial.conf
        install -d -o veiljoin -g veiljoin -m 700 /var/lib/veiljoin
        install -d /var/log/journal /srv/data
        /opt/veiljoin/bin/python examples/make_data.py --out /srv/data; chmod -R a+rX /srv/data
        sed -i 's/^port = .*/port = 27446/' /etc/postgresql/*/main/postgresql.conf
        """
    )
    for name, job in JOBS.items():
        (machine.folder / "srv" / "data" / f"{name}.toml").write_text(job, encoding="utf-8")


def first_start(machine: Machine) -> None:
    """From nothing to nodes that are connected."""
    machine.ask("systemd-analyze verify /etc/systemd/system/veiljoin-*.service")
    done("systemd-analyze verify")
    postgres = "runuser -u postgres --"
    machine.ask(
        f"{postgres} dropdb -p 27446 --if-exists veiljoin; {postgres} dropuser -p 27446 --if-exists veiljoin"
    )
    machine.ask(f"{postgres} createuser -p 27446 veiljoin; {postgres} createdb -p 27446 -O veiljoin veiljoin")
    machine.veiljoin("server", "init", "--home", BANK, "--listen", LISTEN, "--store", STORE)
    machine.ask("systemctl enable --now veiljoin-bank")
    token = machine.veiljoin("server", "invite", "acme", "--home", BANK, "--as", "ann").splitlines()[0]
    join = f"/opt/veiljoin/bin/veiljoin client join {token} --home {PLATFORM} --json"
    machine.ask(f"systemd-run -q --unit=trial-join --uid=veiljoin {join}")

    def shown() -> list[str]:
        told = machine.ask("journalctl -b -u trial-join -o cat --no-pager").splitlines()
        return [json.loads(line)["fingerprint"] for line in told if '"fingerprint"' in line]

    wait("the fingerprint", lambda: bool(shown()))
    machine.veiljoin("server", "confirm", "acme", "--home", BANK, "--as", "bob", "--fingerprint", shown()[0])
    wait("the end of the enrolment", lambda: machine.property("trial-join", "ActiveState") == "inactive")
    for home, name, file, column in (
        (BANK, "customers", "bank.csv", "mobile"),
        (PLATFORM, "users", "platform.csv", "phone"),
    ):
        add = ("dataset", "add", name, f"/srv/data/{file}", "--column", column, "--identifier", "phone")
        machine.veiljoin(*add, "--basis", "consent", "--home", home)
    machine.ask(f"systemctl enable --now {' '.join(NAMES)}")
    wait("the platform on the line", machine.online)
    done("the nodes of bank and platform are connected; nothing was started but by systemd")
    for unit in NAMES:
        level = machine.ask(f"systemd-analyze security --no-pager {unit} | tail -1").split(": ")[-1]
        done(f"{unit}: exposed {level}")


def run_jobs(machine: Machine) -> None:
    """Two jobs, of the two protocols, with people's approvals."""
    for name in JOBS:
        new = ("job", "new", f"/srv/data/{name}.toml", "--partner", "acme", "--home", BANK, "--as", "ann")
        job = str(machine.facts(*new)["job"])
        machine.veiljoin("job", "approve", job, "--home", BANK, "--as", "bob")
        wait("the proposal", machine.state_is, PLATFORM, job, "proposed")
        machine.veiljoin("job", "approve", job, "--home", PLATFORM, "--as", "carol")
        for home in (BANK, PLATFORM):
            wait(f"the end of {name}", machine.state_is, home, job, "done")
        files = ", ".join(machine.facts("job", "result", job, "--home", PLATFORM)["files"])
        done(f"{name}: done on both sides; the platform has {files}")


def break_them(machine: Machine) -> None:
    """A node that is killed, one that hangs, and a machine that is started again."""
    machine.ask(f"kill -KILL {machine.property('veiljoin-bank', 'MainPID')}")
    wait("the bank's node after SIGKILL", machine.restarted, "veiljoin-bank")
    done("the bank's node was killed and is back")
    machine.ask(f"kill -STOP {machine.property('veiljoin-platform', 'MainPID')}")
    wait("the watchdog", machine.restarted, "veiljoin-platform")
    told = machine.ask("journalctl -b -u veiljoin-platform -o cat --no-pager | grep -c watchdog")
    wait("the platform on the line", machine.online)
    done(f"the platform's node hung, its watchdog ended it ({told} line of the journal), and it is back")
    machine.halt()
    machine.boot()
    wait("the platform on the line", machine.online)
    for unit in NAMES:
        wait(unit, machine.active, unit)
        told = machine.ask(f"journalctl -b -1 -u {unit} -o cat --no-pager | tail -3")
        if "Deactivated successfully" not in told:
            raise SystemExit(f"{unit} did not end well when the machine was shut down: {told}")
    done("after a reboot all three run and are connected; each had ended well")


def main() -> int:
    """Run the trial in the folder that the command line names."""
    if len(sys.argv) != 2 or os.geteuid() != 0:
        print(f"{__doc__}\nUsage, as root: {sys.argv[0]} FOLDER", file=sys.stderr)
        return 2
    missing = [each for each in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(each) is None]
    if missing:
        print(f"Not there: {', '.join(missing)}. Install debootstrap and systemd-container.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    machine = Machine(Path(sys.argv[1]).absolute())
    machine.make()
    install(machine)
    try:
        machine.boot()
        first_start(machine)
        run_jobs(machine)
        break_them(machine)
        machine.halt()
    finally:
        machine.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
