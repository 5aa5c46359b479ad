"""The official conformance suite against our own server, with what its scenarios want to find there."""
