"""What is taken for a new password."""

from __future__ import annotations

import threading
import time

import pytest

from party import passwords
from psi.errors import UsageError


@pytest.mark.parametrize(
    "password", ["", "short", "elevenchars", "x" * 257, "ﷺ" * 20, "a" * 2_000, "a\x00b" * 5, "\udc80" * 12]
)
def test_what_is_no_password(password: str) -> None:
    with pytest.raises(UsageError, match="12 to 256 characters") as caught:
        passwords.check_new(password, "ann")
    assert password not in str(caught.value) or not password


@pytest.mark.parametrize(
    "password",
    ["aaaaaaaaaaaaaa", "abababababab", "Password1234", "ＰＡＳＳＷＯＲＤ１２３４", "Pass Word 1234"],
)
def test_what_everybody_tries_first(password: str) -> None:
    with pytest.raises(UsageError, match="among the first that others would try"):
        passwords.check_new(password, "ann")


@pytest.mark.parametrize("password", ["Constantinople", "constantinople constantinople", "Ｃonstantinople"])
def test_a_password_is_not_the_name(password: str) -> None:
    with pytest.raises(UsageError, match="among the first"):
        passwords.check_new(password, "Constantinople")


@pytest.mark.parametrize(
    "password", ["four words are good", "十二个汉字组成的密码也可以", "x" * 251 + "abcde"]
)
def test_what_is_taken(password: str) -> None:
    assert passwords.check_new(password, "ann") == password.encode()


def test_what_is_refused_by_name_would_pass_otherwise() -> None:
    for each in passwords._COMMON:
        assert len(each) >= passwords.SHORTEST
        assert each == "".join(each.casefold().split())


def test_only_so_many_wait_for_a_turn() -> None:
    with passwords.turn(), passwords.turn():
        begun, gone = threading.Barrier(9), threading.Event()

        def wait() -> None:
            with passwords.turn(30) as taken:
                assert taken
                gone.wait(30)

        def waiting() -> None:
            begun.wait(30)
            wait()

        threads = [threading.Thread(target=waiting) for _ in range(8)]
        for thread in threads:
            thread.start()
        begun.wait(30)
        while passwords._WAITING._value:
            time.sleep(0.01)
        with passwords.turn(30) as taken:
            assert not taken
        gone.set()
    for thread in threads:
        thread.join(30)
    with passwords.turn(30) as taken:
        assert taken


def test_a_turn_comes_back() -> None:
    for _ in range(3):
        with passwords.turn(0.01) as one, passwords.turn(0.01) as two, passwords.turn(0.01) as three:
            assert (one, two, three) == (True, True, False)
