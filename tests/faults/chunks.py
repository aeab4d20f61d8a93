"""Makes chunks small in this process, so that streams of a few thousand rows have many. To be imported first.

Every process of a trial imports it, the one that drafts too: a contract says how large its chunks are.
"""

from __future__ import annotations

# First, because how many bytes a chunk may have stays as it is: one of ciphertexts is larger.
from psi import messages, terms

CHUNK_ELEMENTS = 512

assert messages.MAX_CHUNK_BYTES > CHUNK_ELEMENTS
terms.CHUNK_ELEMENTS = CHUNK_ELEMENTS  # type: ignore[misc]
