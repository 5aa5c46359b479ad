"""Where a kernel's ``import hermes_runtime`` finds it: in the host's own files, or in sources that were sent in.

It is on no path, so that nothing else becomes importable, and comes before every path, so that another version in the
kernel's environment does not get in its way. Run as source in a namespace of its own, before all else of the package.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

PACKAGE = "hermes_runtime"
ALIAS = "hermes_tools"


class Finder:
    """For ``sys.meta_path``. ``sources`` has the modules' texts by name, where they do not lie in ``directory``."""

    def __init__(self, directory: str, sources: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.sources = sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Of the package, its modules and its second name; None for all others."""
        package, _, module = name.partition(".")
        loader: Any = self
        if name == ALIAS:
            return ModuleSpec(name, loader)
        if package != PACKAGE:
            return None
        module = module or "__init__"
        file = Path(self.directory, f"{module}.py")
        below = [self.directory] if module == "__init__" else None
        if self.sources is None:
            known = file.exists()
            return (
                importlib.util.spec_from_file_location(name, file, submodule_search_locations=below) if known else None
            )
        if module not in self.sources:
            return None
        spec = ModuleSpec(name, loader, origin=str(file), is_package=below is not None)
        spec.loader_state = (self.sources[module], str(file))
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a source that was sent in; the second name becomes the package itself."""
        if module.__name__ == ALIAS:
            sys.modules[ALIAS] = importlib.import_module(PACKAGE)
            return
        assert module.__spec__ is not None
        source, file = module.__spec__.loader_state
        exec(compile(source, file, "exec"), module.__dict__)

    def get_source(self, name: str) -> str | None:
        """For tracebacks and ``inspect``."""
        return (self.sources or {}).get(name.partition(".")[2] or "__init__")


def install(directory: str, sources: dict[str, str] | None = None) -> None:
    """Once for each kernel, however often it is called."""
    if not any(type(each).__name__ == "Finder" and hasattr(each, "sources") for each in sys.meta_path):
        sys.meta_path.insert(0, Finder(directory, sources))
