"""The bank's gRPC end: listens, checks who dials in and carries the messages of a job."""
