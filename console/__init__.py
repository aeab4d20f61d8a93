"""The web console of a party: server-rendered pages and a REST API over its own node's home."""
