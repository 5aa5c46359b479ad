"""Servers that stand in for forges: their git is real, their API is held to its published specification."""
