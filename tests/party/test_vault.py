"""Secrets at rest: unreadable without the node key, unusable when changed, never shown."""

from __future__ import annotations

import stat
import traceback
from contextlib import closing
from pathlib import Path

import pytest

from party.store import Store
from party.tables import secrets
from party.vault import KEY_BYTES, KEY_FILE, NodeKey, Vault, node_key, open_vault
from psi.errors import UsageError
from psi.secret import SecretBytes, SigningSeed

KEY = NodeKey(bytes(range(KEY_BYTES)))
OTHER_KEY = NodeKey(bytes(KEY_BYTES))
SEED = SigningSeed(b"an identity seed of 32 bytes, yes")


@pytest.fixture
def vault(store: Store) -> Vault:
    return Vault(store, KEY)


def change(store: Store, name: str, **values: object) -> None:
    """Change a row behind the vault's back."""
    with store.transaction() as connection:
        connection.execute(secrets.update().where(secrets.c.name == name).values(**values))


def sealed(store: Store, name: str) -> tuple[bytes, bytes]:
    """Return nonce and ciphertext of a row."""
    with store.reading() as connection:
        row = connection.execute(secrets.select().where(secrets.c.name == name)).one()
    return row.nonce, row.sealed


def test_what_was_sealed_is_opened_as_its_type(vault: Vault, store: Store) -> None:
    vault.seal("identity", SEED, purpose="signing")
    opened = vault.open("identity", SigningSeed, purpose="signing")
    assert opened == SEED
    assert type(opened) is SigningSeed
    # Another process with the same key.
    assert Vault(store, KEY).open("identity", purpose="signing").reveal() == SEED.reveal()
    assert vault.names() == ("identity",)


def test_nothing_readable_is_stored(vault: Vault, store: Store) -> None:
    vault.seal("one", SEED)
    vault.seal("two", SEED)
    (nonce, one), (other_nonce, two) = sealed(store, "one"), sealed(store, "two")
    assert SEED.reveal() not in one
    assert len(one) == len(SEED.reveal()) + 16
    assert nonce != other_nonce
    assert one != two


@pytest.mark.parametrize("length", [0, 1, 32, 5000])
def test_secrets_of_any_length(vault: Vault, length: int) -> None:
    vault.seal("a key", SecretBytes(bytes(length)))
    assert vault.open("a key").reveal() == bytes(length)


def test_a_secret_is_replaced_only_on_request(vault: Vault) -> None:
    vault.seal("identity", SEED)
    with pytest.raises(UsageError, match=r"The secret identity is in the store .* already\."):
        vault.seal("identity", SecretBytes(b"new"))
    assert vault.open("identity").reveal() == SEED.reveal()
    vault.seal("identity", SecretBytes(b"new"), replace=True)
    assert vault.open("identity").reveal() == b"new"


def test_what_is_destroyed_is_gone(vault: Vault) -> None:
    vault.seal("a seed", SEED)
    assert vault.destroy("a seed")
    assert not vault.destroy("a seed")
    with pytest.raises(UsageError, match=r"has no secret a seed\.") as caught:
        vault.open("a seed")
    assert caught.value.code.name == "missing_file"


def test_another_node_key_is_told(vault: Vault, store: Store) -> None:
    vault.seal("identity", SEED)
    with pytest.raises(UsageError, match="was sealed with another node key") as caught:
        Vault(store, OTHER_KEY).open("identity")
    assert "restore node.key" in caught.value.hint
    # One that lies about its key's name.
    vault.seal("another", SEED)
    with store.reading() as connection:
        (key_id,) = {row.key_id for row in connection.execute(secrets.select())}
    Vault(store, OTHER_KEY).seal("another", SEED, replace=True)
    change(store, "another", key_id=key_id)
    with pytest.raises(UsageError, match="is not as it was sealed"):
        vault.open("another")


def test_a_row_that_was_changed_is_told(vault: Vault, store: Store) -> None:
    vault.seal("identity", SEED)
    nonce, content = sealed(store, "identity")
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        change(store, "identity", sealed=bytes(changed))
        with pytest.raises(UsageError, match="is not as it was sealed"):
            vault.open("identity")
    for wrong in ({"sealed": content[:10]}, {"sealed": content, "nonce": b""}, {"nonce": nonce[::-1]}):
        change(store, "identity", **wrong)
        with pytest.raises(UsageError, match="is not as it was sealed"):
            vault.open("identity")
    change(store, "identity", nonce=nonce)
    assert vault.open("identity").reveal() == SEED.reveal()


def test_a_row_does_not_pass_for_another(vault: Vault, store: Store) -> None:
    vault.seal("job/1", SecretBytes(b"one"), purpose="seed")
    vault.seal("job/2", SecretBytes(b"two"), purpose="seed")
    nonce, content = sealed(store, "job/1")
    change(store, "job/2", nonce=nonce, sealed=content)
    with pytest.raises(UsageError, match="is not as it was sealed"):
        vault.open("job/2", purpose="seed")
    with pytest.raises(UsageError, match="is not as it was sealed"):
        vault.open("job/1", purpose="identity")
    # Name and purpose do not run together.
    vault.seal("ab", SecretBytes(b"x"), purpose="c")
    nonce, content = sealed(store, "ab")
    vault.seal("a", SecretBytes(b"y"), purpose="bc")
    change(store, "a", nonce=nonce, sealed=content)
    with pytest.raises(UsageError, match="is not as it was sealed"):
        vault.open("a", purpose="bc")


def test_no_error_and_no_repr_shows_a_secret(vault: Vault, store: Store) -> None:
    vault.seal("identity", SEED)
    change(store, "identity", sealed=bytes(48))
    shown = repr(vault) + repr(KEY) + str(KEY)
    try:
        vault.open("identity")
    except UsageError:
        shown += traceback.format_exc()
    try:
        vault.seal("identity", SEED)
    except UsageError:
        shown += traceback.format_exc()
    for secret in (SEED.reveal(), KEY.reveal()):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


# The node key


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = node_key(tmp_path)
    path = tmp_path / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == key.reveal()
    assert node_key(tmp_path) == key
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o777])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    node_key(tmp_path)
    path = tmp_path / KEY_FILE
    path.chmod(mode)
    with pytest.raises(
        UsageError, match=rf"node\.key can be read or changed by other users \(mode {mode:04o}\)"
    ):
        node_key(tmp_path)
    path.chmod(0o400)
    node_key(tmp_path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_a_wrong_size_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(UsageError, match="does not have 32 bytes"):
        node_key(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere cannot be written: No such file"):
        node_key(tmp_path / "nowhere")


def test_a_lost_key_is_not_made_anew(tmp_path: Path, store: Store) -> None:
    vault = open_vault(tmp_path, store)
    vault.seal("identity", SEED)
    assert open_vault(tmp_path, store).open("identity").reveal() == SEED.reveal()
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(UsageError, match=r"node\.key is gone, and without it no secret") as caught:
        open_vault(tmp_path, store)
    assert caught.value.code.name == "missing_file"
    assert not (tmp_path / KEY_FILE).exists()


def test_secrets_outlive_the_process(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'store.sqlite'}"
    with closing(Store(address)) as store:
        open_vault(tmp_path, store).seal("identity", SEED)
    with closing(Store(address)) as store:
        assert open_vault(tmp_path, store).open("identity").reveal() == SEED.reveal()
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != KEY_FILE)
    assert SEED.reveal() not in everything
