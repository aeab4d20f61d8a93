"""The transparency log: entries, Merkle tree, signed and cosigned checkpoints, offline verifier (audit/SPEC.md).

Nothing here opens a file or a connection, or reads a clock: callers bring bytes, times and stored nodes.
"""
