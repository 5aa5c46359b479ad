"""The commands on notebooks: run, new, diff, commit, pr, git-setup, ci-setup.

Each module has ``add``, which says its options, and ``run``. What only running needs is imported by that.
"""
