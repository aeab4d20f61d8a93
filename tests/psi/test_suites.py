"""The table of suites and the domain separation tag."""

from __future__ import annotations

import pytest

from psi.engines import available
from psi.errors import UsageError
from psi.suites import RISTRETTO255, SUITES, X25519_ELL2, domain_separation_tag, suite_by_id

SCOPE = bytes(range(32))


def test_tags_have_the_documented_layout() -> None:
    assert domain_separation_tag(X25519_ELL2, SCOPE) == (
        b"VEILJOIN-V01-x25519-ell2-" + SCOPE + b"-curve25519_XMD:SHA-512_ELL2_NU_"
    )
    assert domain_separation_tag(RISTRETTO255, SCOPE) == (
        b"HashToGroup-VEILJOIN-V01-ristretto255-" + SCOPE + b"-ristretto255-SHA512"
    )


def test_tags_differ_by_suite_and_scope_and_fit_the_rfc() -> None:
    scopes = [bytes(32), SCOPE, b"-" * 32]
    tags = {domain_separation_tag(suite, scope) for suite in SUITES.values() for scope in scopes}
    assert len(tags) == len(SUITES) * len(scopes)
    assert all(16 <= len(tag) <= 255 for tag in tags)  # RFC 9380, section 3.1 and section 5.3.3


@pytest.mark.parametrize("scope", [b"", bytes(31), bytes(33)])
def test_a_scope_of_another_length_is_refused(scope: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        domain_separation_tag(X25519_ELL2, scope)


def test_lookup_knows_the_suites_and_suggests_near_names() -> None:
    assert suite_by_id("ristretto255") is RISTRETTO255
    with pytest.raises(UsageError, match=r"'x25519_ell2'.*Did you mean 'x25519-ell2'") as caught:
        suite_by_id("x25519_ell2")
    assert caught.value.code.name == "bad_setting"
    with pytest.raises(UsageError, match="Known names: x25519-ell2, ristretto255"):
        suite_by_id("")


def test_every_engine_of_the_table_exists() -> None:
    for suite in SUITES.values():
        assert tuple(status.name for status in available(suite)) == suite.engines


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SUITES["none"] = X25519_ELL2  # type: ignore[index]
