"""``veiljoin server``: the bank's authority, its partners and who may call."""

from __future__ import annotations

import argparse
import datetime
import getpass
import json
import sys
from typing import Any, Final

from party.address import check_name, check_person
from party.authority import StandingAuthority
from party.enrolment import TOKEN_LIFETIME, Pending
from party.home import Home
from party.invitation import grouped
from party.node import Node
from party.nodefile import BANK, NodeFile, bank_ports, refuse_taken, write_node
from party.partners import Partner, PartnerState
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "made": "The node {name} is in {home}. Its authority's SHA-256 is {pin}.",
        "ports": "Partners dial {address}, and {enrol} to enrol; let both through the firewall.",
        "token": "Pass this line to {partner}, on a channel that nobody else reads. It is good until {until}, once:",
        "then": "The partner runs `veiljoin client join TOKEN` and reads a fingerprint out to you. Then a second "
        "person runs: veiljoin server confirm {partner} --home {home}",
        "waits": "{partner} waits: asked {when} from {source}, {software}, invited by {by}.",
        "type": "Fingerprint, as the partner reads it out: ",
        "confirmed": "{partner} has access until {until}; its node renews that by itself.",
        "refused": "The request of {partner} was refused.",
        "revoked": "{partner} has no access any more (certificates revoked: {count}).",
        "none": "There are no partners yet; `veiljoin server invite PARTNER` makes the first.",
        "invited": "invited",
        "pending": "waits for confirmation, fingerprint {fingerprint}",
        "active": "has access until {until}",
        "ended": "its certificate ended on {until}; invite it again",
        "revoked_state": "access taken away",
    },
    "zh": {
        "made": "节点 {name} 已建立在 {home}。其证书颁发机构的 SHA-256 为 {pin}。",
        "ports": "合作方连接 {address}，注册时连接 {enrol}；请在防火墙上放行这两个端口。",
        "token": "请通过无他人可见的渠道把下面这一行交给 {partner}。有效期至 {until}，只能使用一次：",
        "then": "合作方运行 `veiljoin client join TOKEN` 并向您读出指纹。然后由另一人运行："
        "veiljoin server confirm {partner} --home {home}",
        "waits": "{partner} 等待确认：{when} 从 {source} 发出请求，{software}，邀请人 {by}。",
        "type": "合作方读出的指纹：",
        "confirmed": "{partner} 已获得访问权限，有效期至 {until}；其节点会自动续期。",
        "refused": "已拒绝 {partner} 的请求。",
        "revoked": "{partner} 已无访问权限；吊销了 {count} 张证书。",
        "none": "还没有合作方；用 `veiljoin server invite PARTNER` 邀请第一个。",
        "invited": "已邀请",
        "pending": "等待确认，指纹 {fingerprint}",
        "active": "访问权限有效期至 {until}",
        "ended": "证书已于 {until} 到期；请重新邀请",
        "revoked_state": "访问权限已取消",
    },
}


# Which text says how a partner stands.
_STATES: Final = {
    "invited": "invited",
    "pending": "pending",
    "active": "active",
    "ended": "ended",
    "revoked": "revoked_state",
}


def init(arguments: argparse.Namespace) -> int:
    """Make a bank's node, and with --run begin to be it; returns the exit status."""
    ports = bank_ports(arguments.listen, arguments.enrol_listen, arguments.address, arguments.enrol_address)
    file = NodeFile(check_name(arguments.name, "bank"), BANK, ports, arguments.store)
    refuse_taken(arguments.home)
    with Node.assemble(file, Home.open(arguments.home, store=arguments.store)) as node:
        # First, so that the log which it certifies holds what follows.
        node.credentials.ensure_identity()
        node.settle_log()
        authority = StandingAuthority.ensure(node.home.store, node.vault, file.name)
        authority.renew_own(node.credentials)
        # Last: without it the home is no node's, and the same command finishes what was begun.
        write_node(arguments.home, file)
    facts = {
        "name": file.name,
        "home": str(arguments.home),
        "pin": authority.pin.hex(),
        "address": str(ports.address),
        "enrol": str(ports.enrol_address),
    }
    _tell(arguments, facts, "made", "ports")
    if not arguments.run_now:
        return 0
    # The command that starts it from the next time on, with what that takes where nothing is said.
    from cli.main import main

    shape = ("--lang", arguments.lang, *(("--json",) if arguments.json else ()))
    return main(("server", "run", "--home", str(arguments.home), *shape))


def invite(arguments: argparse.Namespace) -> int:
    """Print a token; returns the exit status."""
    with Node.open(arguments.home, role=BANK) as node:
        invitation = node.enrolments().invite(arguments.partner, actor(arguments), node.ports.enrol_address)
        until = shown_time(node.clock() + TOKEN_LIFETIME)
    facts = {"partner": arguments.partner, "until": until, "home": str(arguments.home)}
    if arguments.json:
        print(json.dumps({**facts, "token": invitation.token()}, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    # The token alone on standard output, so that it can be piped.
    print(text["token"].format(**facts), file=sys.stderr, flush=True)
    print(invitation.token(), flush=True)
    print(text["then"].format(**facts), file=sys.stderr)
    return 0


def confirm(arguments: argparse.Namespace) -> int:
    """Let a node in; returns the exit status. The fingerprint is typed, not compared: a glance agrees too easily."""
    with Node.open(arguments.home, role=BANK) as node:
        enrolments = node.enrolments()
        typed = arguments.fingerprint
        waiting = next((each for each in enrolments.pending() if each.partner == arguments.partner), None)
        if typed is None and waiting is not None:
            typed = _ask(arguments, waiting)
        # Where nothing waits, what was typed plays no part in the error.
        until = enrolments.confirm(arguments.partner, typed or "0" * 32, actor(arguments))
    _tell(arguments, {"partner": arguments.partner, "until": shown_time(until)}, "confirmed")
    return 0


def _ask(arguments: argparse.Namespace, waiting: Pending) -> str:
    if arguments.json or not sys.stdin.isatty():
        raise UsageError(
            "The fingerprint was not given, and there is no terminal to ask at.",
            hint="give --fingerprint with what the partner reads out",
        )
    text = _TEXT[arguments.lang]
    facts = {
        "partner": waiting.partner,
        "when": shown_time(waiting.requested),
        "source": waiting.source,
        "software": waiting.software,
        "by": waiting.invited_by,
    }
    print(text["waits"].format(**facts))
    return input(text["type"])


def refuse(arguments: argparse.Namespace) -> int:
    """Refuse a node that waits; returns the exit status."""
    with Node.open(arguments.home, role=BANK) as node:
        node.enrolments().refuse(arguments.partner, actor(arguments))
    _tell(arguments, {"partner": arguments.partner}, "refused")
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    """Take a partner's access away; returns the exit status."""
    with Node.open(arguments.home, role=BANK) as node:
        count = node.enrolments().revoke(arguments.partner, actor(arguments))
    _tell(arguments, {"partner": arguments.partner, "count": count}, "revoked")
    return 0


def partners(arguments: argparse.Namespace) -> int:
    """List the partners; returns the exit status."""
    with Node.open(arguments.home, role=BANK) as node:
        waiting = {each.partner: each for each in node.enrolments().pending()}
        rows = [_row(node, partner, waiting.get(partner.name)) for partner in node.partners.all()]
    if arguments.json:
        print(json.dumps({"partners": rows}, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    for row in rows:
        print(f"{row['partner']:<32}  {text[_STATES[row['shown']]].format(**row)}")
        if row["fingerprint"] and row["shown"] != "pending":
            # Invited again while its old certificate still works.
            print(f"{'':<32}  {text['pending'].format(**row)}")
    if not rows:
        print(text["none"])
    return 0


def _row(node: Node, partner: Partner, waiting: Pending | None) -> dict[str, Any]:
    held = node.partners.certificate(partner.name)
    ended = held is not None and held.expires <= node.clock()
    shown = "ended" if partner.state is PartnerState.ACTIVE and ended else partner.state.value
    return {
        "partner": partner.name,
        "state": partner.state.value,
        "shown": shown,
        "until": None if held is None else shown_time(held.expires),
        "fingerprint": None if waiting is None else grouped(waiting.fingerprint),
    }


def actor(arguments: argparse.Namespace) -> str:
    """Return who acts: --as, or the login of this machine. Raises ``UsageError``."""
    if arguments.actor is not None:
        return check_person(arguments.actor)
    try:
        return check_person(getpass.getuser())
    except (KeyError, OSError):
        # A user number without a name, as in some containers.
        raise UsageError("This machine has no name for who acts.", hint="give it with --as NAME") from None


def shown_time(moment: datetime.datetime) -> str:
    """Return a time as people at this machine read it."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def _tell(arguments: argparse.Namespace, facts: dict[str, Any], *lines: str) -> None:
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)
        return
    for line in lines:
        print(_TEXT[arguments.lang][line].format(**facts), flush=True)
