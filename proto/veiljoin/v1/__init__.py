"""Generated protobuf and gRPC code of package ``veiljoin.v1``; ``make proto`` writes it."""
