"""The commands by which a notebook goes into git and onto a forge: commit, pr, git-setup, ci-setup.

Each module has ``add``, which says its options, and ``run``. What only running needs is imported by that.
"""
