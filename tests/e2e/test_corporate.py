"""The way out of a company's network: Debian's tinyproxy and haproxy between the partner's node and the bank's.

Three machines in a row. The partner's resolves no name of the bank and has a route to the middle one only.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from party.synthetic import Pair
from tests.e2e.namespaces import lay_cable, machines, why_not
from tests.e2e.typed import Person
from tests.e2e.walking import BANK_HOST, Walk, listed

MIDDLE: Final = "10.77.2.1"
LOGIN: Final = "veil:s3cret"
PROXY: Final = f"http://{LOGIN}@{MIDDLE}:3128"
# Both middle boxes cut what is idle for so long; the test stays idle for several times that.
IDLE_SECONDS: Final = 4

_TINYPROXY: Final = """\
Port {port}
Listen {middle}
Timeout {idle}
BasicAuth veil s3cret
PidFile "{folder}/{port}.pid"
{connect}
"""
_HAPROXY: Final = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client {idle}s
    timeout server {idle}s
listen jobs
    bind {middle}:7443
    server bank 10.77.1.1:7443
listen enrolment
    bind {middle}:7444
    server bank 10.77.1.1:7444
"""


def missing() -> str:
    """Why these tests can't run here, or nothing."""
    if shutil.which("tinyproxy") is None or shutil.which("haproxy") is None:
        return "Debian's packages tinyproxy-bin and haproxy are not installed"
    return why_not()


# The walk itself is part of the first test.
pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing() or "possible here"),
    pytest.mark.timeout(900),
]


class Office:
    """The machines, the boxes in the middle, and the walk through the proxy."""

    def __init__(self, folder: Path, pair: Pair, stack: ExitStack) -> None:
        bank, self.middle, acme = stack.enter_context(machines("bank", "middle", "acme"))
        lay_cable(bank, self.middle, "10.77.1", "7443-7444")
        # 3128 and 3129: proxies; 7443 and 7444: the balancer.
        lay_cable(self.middle, acme, "10.77.2", "3128-7444")
        self.middle.know(BANK_HOST, "10.77.1.1")
        self.folder = folder
        self.stack = stack
        self.tinyproxy(3128, "ConnectPort 7443\nConnectPort 7444")
        self.tinyproxy(3129, "ConnectPort 443")
        balancer = folder / "haproxy.cfg"
        balancer.write_text(_HAPROXY.format(middle=MIDDLE, idle=IDLE_SECONDS))
        self.box("haproxy", "-db", "-f", str(balancer))
        self.acme = acme
        self.walk = Walk(
            Person(bank, folder / "bank-desk"),
            Person(acme, folder / "acme-desk", {"HTTPS_PROXY": PROXY}),
            pair,
            stack,
        )

    def tinyproxy(self, port: int, connect: str) -> None:
        """Start a proxy on ``port`` of the middle machine."""
        config = self.folder / f"tinyproxy-{port}.conf"
        config.write_text(
            _TINYPROXY.format(
                port=port, middle=MIDDLE, idle=IDLE_SECONDS, folder=self.folder, connect=connect
            )
        )
        self.box("tinyproxy", "-d", "-c", str(config))

    def box(self, *command: str) -> None:
        """Start a program on the middle machine."""
        with open(self.folder / f"{Path(command[-1]).name}.log", "wb") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.middle.name, *command], stdout=log, stderr=subprocess.STDOUT
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)

    @contextmanager
    def elsewhere(self, **environment: str) -> Iterator[Person]:
        """The partner's person, with ``environment`` in place of the proxy."""
        person = self.walk.acme
        before = dict(person.environment)
        del person.environment["HTTPS_PROXY"]
        person.environment |= environment
        try:
            yield person
        finally:
            person.environment = before

    def port_check(self, **environment: str) -> dict[str, str]:
        """What ``client doctor`` finds at the port, with other proxies in the environment."""
        with (
            self.elsewhere(**environment) as person,
            person.types("veiljoin client doctor --home acme --json") as command,
        ):
            command.find(r'(^\{"check": "policy".*$)')
            rows = map(json.loads, command.said.splitlines())
            return next(row for row in rows if row["check"] == "port")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Iterator[Office]:
    """The office, with the first match done through the proxy and both nodes running."""
    with ExitStack() as stack:
        office = Office(tmp_path_factory.mktemp("office"), small, stack)
        for _ in office.walk.all():
            pass
        office.walk.done()
        yield office


def test_the_walk_goes_through_a_proxy_with_a_login(office: Office, small: Pair) -> None:
    assert listed(office.walk.done()) == small.common_persons
    log = (office.folder / "tinyproxy-3128.conf.log").read_text()
    for port in (7443, 7444):
        assert f"CONNECT {BANK_HOST}:{port}" in log


def test_an_idle_line_is_not_cut_by_the_proxy(office: Office) -> None:
    time.sleep(3 * IDLE_SECONDS)
    assert "No connection" not in office.walk.nodes["acme"].said


@pytest.mark.parametrize(
    ("proxy", "text", "hint"),
    [
        (
            f"http://veil:wrong@{MIDDLE}:3128",
            rf"The proxy {MIDDLE}:3128 of https_proxy does not connect to {BANK_HOST}:7443 \(status 40[17]\)\.",
            "user or the password in https_proxy",
        ),
        (
            f"http://{MIDDLE}:3128",
            rf"The proxy {MIDDLE}:3128 of https_proxy does not connect to {BANK_HOST}:7443 \(status 40[17]\)\.",
            f"http://USER:PASSWORD@{MIDDLE}:3128",
        ),
        (
            f"{LOGIN}@{MIDDLE}:3129",
            rf"The proxy {MIDDLE}:3129 of https_proxy does not connect to {BANK_HOST}:7443 \(status 403\)\.",
            f"allow CONNECT to {BANK_HOST}:7443",
        ),
        (
            f"http://{MIDDLE}:3130",
            rf"The proxy {MIDDLE}:3130 of https_proxy did not answer: Connection refused\.",
            "check https_proxy",
        ),
    ],
    ids=["wrong password", "no login", "port not allowed", "no proxy there"],
)
def test_the_doctor_names_a_proxy_that_refuses(office: Office, proxy: str, text: str, hint: str) -> None:
    found = office.port_check(https_proxy=proxy)
    assert found["verdict"] == "failed"
    assert re.fullmatch(text, found["text"])
    assert hint in found["hint"]
    assert "wrong" not in found["text"] + found["hint"]


def test_the_node_names_a_proxy_that_refuses(office: Office) -> None:
    office.walk.nodes["acme"].end()
    with (
        office.elsewhere(https_proxy=f"http://{LOGIN}@{MIDDLE}:3129") as person,
        person.types("veiljoin client run --home acme") as node,
    ):
        said = node.find("(No connection: .*)$")
    assert (
        f"The proxy {MIDDLE}:3129 of https_proxy does not connect to {BANK_HOST}:7443 (status 403)." in said
    )
    assert "s3cret" not in said


def test_a_balancer_that_cuts_idle_lines_cuts_none(office: Office, small: Pair) -> None:
    office.acme.know(BANK_HOST, MIDDLE)
    # The proxy that is set is not for this host.
    there = {"https_proxy": f"http://{MIDDLE}:3130", "no_proxy": "localhost,.bank.example"}
    with office.elsewhere(**there) as person, person.types("veiljoin client run --home acme") as node:
        node.find("(is on the line)")
        office.walk.nodes["acme"] = node
        gate = office.walk.bank.gates / "order"
        gate.touch()
        office.walk.another_job()
        # The job's own stream is as idle as the control stream while the bank works.
        time.sleep(3 * IDLE_SECONDS)
        gate.unlink()
        assert listed(office.walk.done()) == small.common_persons
        assert "No connection" not in node.said
        assert "the attempt ended" not in node.said
