"""The wire format of Veiljoin: the protobuf package ``veiljoin.v1`` and the one codec over it."""
