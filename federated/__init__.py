"""Sans-IO Paillier for private grouped sums: keys and their proof, batch engine, slots, exact noise (SPEC.md)."""
