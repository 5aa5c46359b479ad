"""Commits, pushes, git's drivers and the texts of pull requests, by a real git."""
