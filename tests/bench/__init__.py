"""Benchmarks: what the product costs beside floors that are measured in the same run.

``python -m tests.bench`` runs all of them and writes docs/benchmarks.md; a name runs one and writes
nothing. Nothing here asserts: a bar that is missed is a line in the table.
"""
