"""Sans-IO private set intersection: suites, hash-to-curve, masking engines, messages and the two roles."""
