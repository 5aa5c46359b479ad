"""Notebooks run from their first cell to their last: by papermill's rules, in sessions of ours, into executed copies.

Apart from ``workflow``, since papermill's command line and ours wait for what is imported here: nothing is, at first.
"""
