"""Secrets stay quiet wherever Python shows values, and leave only through ``reveal()``."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from party.identity import Authority, TlsMaterial
from party.runner import SideConfig
from psi.engines.wire import HashRequest, MaskRequest
from psi.messages import Stream
from psi.secret import Personal, Scalar, SecretBytes, Seed, SigningSeed
from psi.terms import Role
from tests.psi.pair import match, people, terms_for

TYPES = [SecretBytes, Scalar, Seed, SigningSeed, Personal]
VALUE = b"13800138000-very-secret-bytes-!!"
every_type = pytest.mark.parametrize("kind", TYPES)


def tells(shown: str, value: bytes = VALUE) -> bool:
    """Say whether ``shown`` has the secret in one of the forms that a dump would have."""
    forms = (value.decode("latin-1"), value.hex(), str(int.from_bytes(value, "little")), str(list(value)))
    return any(form in shown or form.upper() in shown for form in forms)


SHOWN: list[Callable[[SecretBytes], str]] = [
    repr,
    str,
    format,
    ascii,
    pprint.pformat,
    lambda secret: f"{secret}",
    lambda secret: f"{secret!r:>80}",
    lambda secret: f"{secret:x}",
    lambda secret: "%r %s" % (secret, secret),  # noqa: UP031 - the old way is what is tried
    lambda secret: "{0} {0!s}".format(secret),  # noqa: UP032
    lambda secret: str([secret]) + str({"key": secret}) + str((secret,)),
    lambda secret: str(ValueError("went wrong", secret)),
]


@every_type
@pytest.mark.parametrize("show", SHOWN, ids=range(len(SHOWN)))
def test_what_is_shown_is_the_class(kind: type[SecretBytes], show: Callable[[SecretBytes], str]) -> None:
    shown = show(kind(VALUE))
    assert f"{kind.__name__}(<redacted>)" in shown
    assert not tells(shown)


@every_type
def test_tracebacks_with_locals_show_nothing(kind: type[SecretBytes]) -> None:
    def fails(secret: SecretBytes) -> None:
        kept = {"inner": [secret]}
        raise RuntimeError(f"failed over {kept}")

    with pytest.raises(RuntimeError) as raised:
        fails(kind(VALUE))
    whole = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    shown = "".join(whole.format())
    assert "<redacted>" in shown
    assert not tells(shown)


@every_type
def test_logs_show_nothing(kind: type[SecretBytes], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("secret %s %r", kind(VALUE), kind(VALUE))
    assert "<redacted>" in caplog.text
    assert not tells(caplog.text)


@every_type
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle(kind: type[SecretBytes], protocol: int) -> None:
    with pytest.raises(TypeError, match=f"a {kind.__name__} is not pickled"):
        pickle.dumps([kind(VALUE)], protocol)


@every_type
@pytest.mark.parametrize("give", [copy.copy, copy.deepcopy])
def test_no_copy(kind: type[SecretBytes], give: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        give(kind(VALUE))


@every_type
def test_no_json_no_bytes_no_dict(kind: type[SecretBytes]) -> None:
    secret = kind(VALUE)
    with pytest.raises(TypeError):
        json.dumps({"secret": secret})
    with pytest.raises(TypeError):
        bytes(secret)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        iter(secret)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        len(secret)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError, match="unhashable"):
        hash(secret)


def test_equality_is_of_type_and_value() -> None:
    assert Seed(VALUE) == Seed(VALUE)
    assert Seed(VALUE) != Seed(VALUE[::-1])
    assert Seed(VALUE) != Scalar(VALUE)
    assert Seed(VALUE) != VALUE
    assert SecretBytes(VALUE) != Seed(VALUE)


@every_type
def test_a_destroyed_secret_gives_nothing(kind: type[SecretBytes]) -> None:
    secret = kind(VALUE)
    assert secret.reveal() == VALUE
    secret.destroy()
    secret.destroy()
    with pytest.raises(ValueError, match=f"this {kind.__name__} was destroyed"):
        secret.reveal()
    assert repr(secret) == f"{kind.__name__}(<redacted>)"


def test_a_secret_keeps_its_own_copy() -> None:
    given = bytearray(VALUE)
    secret = SecretBytes(given)  # type: ignore[arg-type]  # not its type, but what code does by mistake
    given[:] = bytes(len(given))
    assert secret.reveal() == VALUE


# -- records that hold secrets


def config(tmp_path: Path) -> SideConfig:
    """Return a configuration as a rehearsal makes it."""
    return SideConfig(
        side="bank",
        job_table={"kind": "overlap"},
        job_source="job.toml",
        contract=b"{}",
        data=tmp_path / "data.csv",
        work=tmp_path / "work",
        staging=tmp_path / "staging",
        address="127.0.0.1:0",
        patience=1.0,
        identity=SigningSeed(VALUE),
        tls=TlsMaterial(b"authority", b"certificate", SecretBytes(VALUE)),
        partner_san="spiffe://bank/partner/platform/node/1",
    )


def test_records_show_no_secret(tmp_path: Path) -> None:
    records: list[object] = [
        MaskRequest(VALUE, VALUE),
        HashRequest(b"a tag", [VALUE, VALUE], VALUE),
        TlsMaterial(b"authority", b"certificate", SecretBytes(VALUE)),
        config(tmp_path),
    ]
    for record in records:
        for shown in (repr(record), str(record), f"{record}", pprint.pformat(record), str([record])):
            assert type(record).__name__ in shown
            assert not tells(shown)


def test_an_issued_key_is_not_shown() -> None:
    issued = Authority("bank").issue_partner("platform")
    body = issued.key.reveal().splitlines()[1].decode()
    assert b"PRIVATE KEY" in issued.key.reveal()
    assert body not in repr(issued)
    assert "PRIVATE" not in repr(issued)


def test_a_configuration_is_neither_pickled_nor_turned_into_a_dict(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(config(tmp_path))
    with pytest.raises(TypeError, match="not pickled"):
        dataclasses.asdict(config(tmp_path))


def test_a_configuration_travels_over_its_pipe_as_one_line(tmp_path: Path) -> None:
    sent = config(tmp_path)
    line = sent.to_json()
    assert "\n" not in line
    arrived = SideConfig.from_json(line)
    assert arrived == sent
    assert arrived.identity.reveal() == VALUE


def test_roles_and_what_they_say_show_no_secret() -> None:
    done = match(terms_for(both=True), [("", people(*range(9)))], [("", people(*range(5, 20)))])
    secrets = {
        side.randomness.scalar(side.part.terms.suite).reveal() for side in (done.receiver, done.sender)
    }
    points = {each for stream in Stream for each in done.talk.elements(stream, 16)}
    shown = [repr(each) for _, each in done.talk.said]
    for side in (done.receiver, done.sender):
        shown += [repr(side.part), repr(side.randomness), repr(side.own), repr(side.part.result)]
    shown += [repr(done.talk.part(role).session) for role in Role]
    for text in shown:
        for value in (*secrets, *points, b"r" * 32, b"s" * 32, b"person"):
            assert not tells(text, value)
            assert repr(value)[2:-1] not in text
