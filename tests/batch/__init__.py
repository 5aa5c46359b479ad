"""Notebooks executed: by papermill's engine, by the command, by the tool."""
