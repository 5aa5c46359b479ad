"""The server's half of hermes_runtime: what code in cells asks of its host, answered."""
