"""papermill's engine ``mcp-notebook``: ``papermill --engine mcp-notebook IN OUT -p NAME VALUE``.

papermill loads it by its entry point whenever it is imported itself, so nothing is imported here before a run, and
papermill's own base class is not needed: an engine is what has these three methods. See
https://papermill.readthedocs.io/en/latest/extending-entry-points.html
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

PYTHON = "python"


class NotebookEngine:
    """Runs a notebook on a kernel of ours, with ``hermes_runtime`` in it, by nbclient's rules."""

    @classmethod
    def execute_notebook(
        cls,
        nb: "NotebookNode",
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: "bool | dict[str, Any]" = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **options: Any,
    ) -> "NotebookNode":
        """Run ``nb`` in place, and keep ``output_path`` less than a second old, whatever ``autosave_cell_every`` says.

        ``runner`` among the options is called with the executed copy, the kernel's name and the other options, and
        runs it elsewhere; without one the kernel is started here, and ends with the run.

        Raises:
            nbclient.exceptions.DeadKernelError, CellTimeoutError: the copy is saved first. An error in a cell is for
                papermill to raise. NotebookError: no such kernel; the file cannot be written.
        """
        from mcp_notebook.batch.alone import run_alone
        from mcp_notebook.batch.copies import ExecutedCopy

        copy = ExecutedCopy(nb, output_path, progress_bar=progress_bar, log_output=log_output)
        copy.notebook_start()
        try:
            (options.pop("runner", None) or run_alone)(copy, kernel_name, **options)
        finally:
            copy.notebook_complete()
        return nb

    @classmethod
    def nb_kernel_name(cls, nb: "NotebookNode", name: str | None = None) -> str:
        """The kernel that was asked for, or that the notebook names; else Python."""
        return str(name or nb.metadata.get("kernelspec", {}).get("name") or PYTHON)

    @classmethod
    def nb_language(cls, nb: "NotebookNode", language: str | None = None) -> str:
        """The language that was asked for, or that the notebook names; else Python."""
        metadata = nb.metadata
        known = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
        return str(language or known or PYTHON)
