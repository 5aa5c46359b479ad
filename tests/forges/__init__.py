"""Gitea, Forgejo and GitHub, stood in for by servers that are held to the published contracts."""
