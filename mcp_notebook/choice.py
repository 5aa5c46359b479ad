"""Which kernel a session's notebook runs on: the one asked for, the one that it names, or the workspace's own."""

from collections.abc import Awaitable, Callable

from mcp_notebook import rules
from mcp_notebook.errors import KernelNotFound
from mcp_notebook.kernels.base import KernelInfo
from mcp_notebook.notebook import Notebook

StartNamed = Callable[[str | None], Awaitable[KernelInfo]]


class KernelChoice:
    """Made once for a session; ``asked_for`` is what open_session was given."""

    def __init__(self, notebook: Notebook, asked_for: str | None) -> None:
        self._notebook = notebook
        self._asked_for = asked_for
        self._replaces = False
        """Whether what the notebook names is not here, and the workspace's own Python is in its place."""

    @property
    def name(self) -> str | None:
        """A kernelspec, a language or an interpreter; None for the workspace's own Python."""
        named = None if self._replaces else rules.kernel_of(self._notebook)
        return self._asked_for or named

    async def start(self, start: StartNamed) -> tuple[KernelInfo, str]:
        """The kernel, started, and what is to be said of the choice, or "".

        Raises:
            KernelNotFound: what was asked for, or a kernel of the notebook's language.
        """
        wanted = self.name
        try:
            return await start(wanted), ""
        except KernelNotFound as exc:
            if self._asked_for is not None or wanted is None:
                raise
            if rules.language_of(self._notebook) != "python":
                raise KernelNotFound(
                    f"The notebook asks for the kernel {wanted!r}. {exc} read_notebook(path=...) needs no kernel."
                ) from exc
        self._replaces = True
        note = f"The kernelspec {wanted!r} is not installed: cells run in the workspace's own Python."
        return await start(None), note

    def describe(self, info: KernelInfo) -> None:
        """Write it into the notebook, unless it only stands in for what the notebook says."""
        if not self._replaces:
            rules.describe_kernel(self._notebook, info)
