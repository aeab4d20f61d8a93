"""Secrets at rest: sealed in the store under the node key, which lies beside it in a file of its own.

A node's identity, its TLS keys, the bank's CA key and the seeds of jobs are rows of the table ``secrets``:
AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce, name and purpose as associated data. So who has the store
alone, such as its backup, has no secret; and no row passes for another. What this does not see: that a row was put
back to what it was before, under the same name and purpose.

Random nonces hold for 2^32 seals under one key (SP 800-38D, 8.3), more than a node makes in its life.
"""

from __future__ import annotations

import os
import secrets as random
import stat
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from party.budget import Clock, local_clock
from party.ledger import write_private
from party.logged import note_key
from party.spool import disk_error
from party.store import Store
from party.tables import secrets
from psi.errors import UsageError
from psi.secret import SecretBytes

KEY_FILE: Final = "node.key"
KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LABEL: Final = b"veiljoin/v1/vault/"
_RESTORE: Final = f"restore {KEY_FILE} and the store from the same backup"

Secret = TypeVar("Secret", bound=SecretBytes)


class NodeKey(SecretBytes):
    """The key of one node's secrets at rest, 32 bytes."""

    __slots__ = ()


class Vault:
    """The secrets of one node in ``store``, sealed under ``key``. Threads and processes may share it."""

    def __init__(self, store: Store, key: NodeKey, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock
        # The node key itself is used for nothing but these two.
        self._cipher = AESGCM(_derive(key, b"aes-256-gcm", 32))
        self._key_id = _derive(key, b"key id", 16).hex()

    def seal(self, name: str, secret: SecretBytes, *, purpose: str = "", replace: bool = False) -> None:
        """Keep ``secret`` under ``name``; durable once this returns. ``purpose``, one word, says what it is good for.

        Raises ``UsageError`` if there is a secret of that name and ``replace`` was not asked for.
        """
        nonce, now = random.token_bytes(_NONCE_BYTES), self._clock().timestamp()
        row = {
            "purpose": purpose,
            "key_id": self._key_id,
            "nonce": nonce,
            "sealed": self._cipher.encrypt(nonce, secret.reveal(), self._bound(name, purpose)),
            "at": now,
        }
        with self._store.transaction() as connection:
            taken = connection.execute(sa.select(secrets.c.purpose).where(secrets.c.name == name)).first()
            if taken is None:
                connection.execute(secrets.insert().values(name=name, **row))
            elif replace:
                connection.execute(secrets.update().where(secrets.c.name == name).values(**row))
            else:
                raise UsageError(
                    f"The secret {name} is in the store {self._store.name} already.",
                    hint="what it was made for is done; use another home for another node",
                )
            if taken is not None:
                note_key(connection, False, name, taken.purpose, now)
            note_key(connection, True, name, purpose, now)

    def open(self, name: str, kind: type[Secret] = SecretBytes, *, purpose: str = "") -> Secret:  # type: ignore[assignment]
        """Return the secret that was sealed as ``name`` for ``purpose``, as a ``kind``.

        Raises ``UsageError`` if there is none, if the node key is not the one it was sealed with, or if its row was
        changed.
        """
        with self._store.reading() as connection:
            row = connection.execute(sa.select(secrets).where(secrets.c.name == name)).first()
        if row is None:
            raise UsageError(
                f"The store {self._store.name} has no secret {name}.",
                hint="finish what makes it first (`veiljoin server init`, `veiljoin client join`)",
                code="missing_file",
            )
        if row.key_id != self._key_id:
            raise UsageError(
                f"The secret {name} in the store {self._store.name} was sealed with another node key.",
                hint=_RESTORE,
                code="bad_format",
            )
        try:
            return kind(self._cipher.decrypt(row.nonce, row.sealed, self._bound(name, purpose)))
        except (InvalidTag, ValueError):
            # A nonce of a wrong length is a ValueError.
            raise UsageError(
                f"The secret {name} in the store {self._store.name} is not as it was sealed.",
                hint=_RESTORE,
                code="bad_format",
            ) from None

    def destroy(self, name: str) -> bool:
        """Remove the secret ``name``; tells whether there was one. Backups and the disk may still hold it sealed."""
        with self._store.transaction() as connection:
            mine = secrets.c.name == name
            found = connection.execute(sa.select(secrets.c.purpose).where(mine)).first()
            if found is None:
                return False
            connection.execute(secrets.delete().where(mine))
            note_key(connection, False, name, found.purpose, self._clock().timestamp())
        return True

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, in order."""
        with self._store.reading() as connection:
            return tuple(connection.execute(sa.select(secrets.c.name).order_by(secrets.c.name)).scalars())

    def _bound(self, name: str, purpose: str) -> bytes:
        parts = (name.encode(), purpose.encode())
        return _LABEL + b"row" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def open_vault(folder: Path, store: Store, clock: Clock = local_clock) -> Vault:
    """Return the vault of the home ``folder`` with its ``store``; a new home gets its node key here.

    Raises ``UsageError`` if the key is gone though secrets were sealed with it, and what :func:`node_key` does.
    """
    path = folder / KEY_FILE
    if not path.exists():
        with store.reading() as connection:
            sealed = connection.execute(sa.select(secrets.c.name).limit(1)).first()
        if sealed is not None:
            raise UsageError(
                f"The node key {path} is gone, and without it no secret of the store can be read.",
                hint=_RESTORE,
                code="missing_file",
            )
    return Vault(store, node_key(folder), clock)


def node_key(folder: Path) -> NodeKey:
    """Return the node key in ``folder``, made at first use with mode 0600.

    Raises ``UsageError`` if it can be read by others, is of a wrong size, or can't be read or written.
    """
    path = folder / KEY_FILE
    if not path.exists():
        # The key of a process that was faster stays.
        write_private(path, random.token_bytes(KEY_BYTES), replace=False)
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise disk_error(error, folder) from None
    if mode & _OTHERS:
        raise UsageError(
            f"The node key {path} can be read or changed by other users (mode {mode:04o}).",
            hint=f"chmod 600 {path}; if others may have read it, the node has to be enrolled anew",
            code="unreadable_file",
        )
    if len(content) != KEY_BYTES:
        raise UsageError(
            f"The node key {path} does not have {KEY_BYTES} bytes.", hint=_RESTORE, code="bad_format"
        )
    return NodeKey(content)


def _derive(key: NodeKey, what: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt=None, info=_LABEL + what).derive(key.reveal())
