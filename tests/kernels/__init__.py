"""Kernels for real: their channels, their start, their end, and what the two ends of ipykernel's versions do."""
