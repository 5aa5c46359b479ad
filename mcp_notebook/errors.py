"""The tree of what mcp-notebook raises. Each message tells the caller what to do next.

    NotebookError
    ├── BadRequest            the call cannot mean anything: change its arguments
    │   ├── UnknownSession    no such handle (also a forged or an expired one)
    │   ├── UnknownCell
    │   ├── UnknownExecution
    │   └── RevisionChanged   the cell is not what the caller last read
    ├── FileRefused           outside the workspace, not a notebook, unreadable, open elsewhere
    ├── SaveFailed            the disk said no; nothing was changed
    ├── StateUnusable         the state directory cannot be written
    ├── LimitReached          a principal or a session has as much as it may have ([limits])
    ├── ListenerRefused       HTTP cannot be served there, or must not
    │   └── NotReadNow        a secret file cannot be read at this moment: nothing is known about it
    ├── BadSettings           a setting that cannot be used (settings.py)
    ├── ServerFailed          an MCP server that code in a cell calls: its file, its start, its death, its silence
    ├── GitFailed             git is absent, or could not do what it was asked
    │   └── CommitRefused     the repository or the content forbids it; nothing was committed
    ├── ForgeFailed           Gitea, Forgejo or GitHub did not do it, or cannot be asked
    ├── NotInstalled          an optional package is missing; the message has the command
    ├── HermesFailed          Hermes, whose tools answer calls of cells: its start, its death, a tool that raised
    └── KernelError
        ├── KernelNotFound    no such kernelspec, interpreter or ipykernel
        ├── KernelStartFailed the process ended or stayed silent while starting
        └── KernelDied        the process of a running kernel ended

An exception raised inside a cell is an output of that cell and none of these.
"""


class NotebookError(Exception):
    """Whatever a caller can read, understand and act on."""


class BadRequest(NotebookError):
    """The arguments contradict each other or name something that is not there."""


class UnknownSession(BadRequest):
    """No session has this handle, or the caller may not use it: the two are not told apart."""


class UnknownCell(BadRequest):
    """No cell of the notebook has this id."""


class UnknownExecution(BadRequest):
    """No execution of the session has this id."""


class RevisionChanged(BadRequest):
    """The cell was edited after the caller read the revision it passed."""


class FileRefused(NotebookError):
    """The file is outside the workspace, unreadable, no notebook, or open in another session."""


class SaveFailed(NotebookError):
    """Writing failed; what was on disk before is still there, whole."""


class StateUnusable(NotebookError):
    """The state directory cannot be made or written."""


class LimitReached(NotebookError):
    """There is as much of it as the settings allow; the message says what to end first."""


class ListenerRefused(NotebookError):
    """HTTP cannot be served at this address, or not safely."""


class NotReadNow(ListenerRefused):
    """The machine has no descriptors or memory left, or its disk fails: a file that may be in order was not read."""


class ServerFailed(NotebookError):
    """An MCP server that code in a cell calls is not configured right, did not start, died or gave no usable answer."""


class NotInstalled(NotebookError):
    """What was asked for needs a package that is not there; the message has the command that installs it."""


class HermesFailed(NotebookError):
    """Hermes, where its own tools answer the calls of cells, did not start, ended during a call or raised."""


class GitFailed(NotebookError):
    """The user's git is not there, gave up or took too long; the message has its words, without secrets."""


class CommitRefused(GitFailed):
    """Nothing was committed, and repository, index and files are as they were."""


class ForgeFailed(NotebookError):
    """A forge refused, cannot be reached or is not known; the message says what to do, without any secret."""


class KernelError(NotebookError):
    """A kernel could not be found, started or kept."""


class KernelNotFound(KernelError):
    """No kernelspec or interpreter of that name, or one without ipykernel."""


class KernelStartFailed(KernelError):
    """The kernel's process ended, or said nothing, before it was ready."""


class KernelDied(KernelError):
    """The kernel's process is gone; its variables are lost."""
