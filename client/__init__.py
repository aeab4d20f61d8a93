"""The partner's gRPC end: dials out and carries the messages of a job; it opens no port."""
