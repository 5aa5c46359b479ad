"""Signatures of tools from their JSON schemas: the names, types and defaults that Python shows.   Pure.

Sent into a Python kernel as source together with ``servers``, which uses it; the standard library of Python 3.9
only. What schemas mean is said at https://json-schema.org.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Any, Literal, Union, get_args

SCALARS = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
DEEPEST = 4
"""A schema within a schema is ``Any`` from here: some contain themselves."""


class Parameters:
    """What a tool takes, by the names that Python can write."""

    def __init__(self, schema: Any) -> None:
        self.schema: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
        properties = self.schema.get("properties")
        each = properties if isinstance(properties, Mapping) else {}
        required = self.schema.get("required")
        self.required = [name for name in each if isinstance(required, list) and name in required]
        order = [*self.required, *(name for name in each if name not in self.required)]
        self.names: dict[str, str] = {}
        for name in order:
            if attribute(name) == name or attribute(name) not in order:
                self.names.setdefault(attribute(name), name)
        self.schemas = {name: each[name] if isinstance(each[name], Mapping) else {} for name in order}
        self.takes_more = not each or self.schema.get("additionalProperties", False) is not False

    def signature(self, output: Any = None) -> inspect.Signature:
        """Required first, all by keyword."""
        parameters = [self._parameter(name, original) for name, original in self.names.items()]
        if self.takes_more:
            more = next(each for each in ("arguments", "more", "more_arguments") if each not in self.names)
            parameters.append(inspect.Parameter(more, inspect.Parameter.VAR_KEYWORD))
        inner = output["properties"]["result"] if is_wrapper(output) else output
        returns = _annotation(inner, output) if output else inspect.Signature.empty
        return inspect.Signature(parameters, return_annotation=returns)

    def documentation(self, description: str) -> str:
        """The description, and a line for each parameter."""
        lines = [description.strip(), ""] if self.names else [description.strip()]
        for name, original in self.names.items():
            kind = inspect.formatannotation(_annotation(self.schemas[original], self.schema))
            optional = "" if original in self.required else ", optional"
            said = one_line(str(self.schemas[original].get("description", "")))
            lines.append(f"{name} ({kind}{optional}){': ' if said else ''}{said}")
        return "\n".join(lines)

    def arguments(self, tool: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent for a call; None for an optional argument that cannot be null leaves it out."""
        if len(args) > len(self.names):
            raise TypeError(f"{tool}{self.signature()} takes {len(self.names)} arguments, not {len(args)}")
        given = dict(zip(self.names, args))  # noqa: B905 - Python 3.9 has no ``strict``
        if twice := sorted(set(given) & set(kwargs)):
            raise TypeError(f"{tool}{self.signature()} got {', '.join(twice)} twice")
        sent = {self.names.get(name, name): value for name, value in [*given.items(), *kwargs.items()]}
        for what, names in {
            "takes no": [] if self.takes_more else [name for name in sent if name not in self.schemas],
            "needs": [name for name in self.required if name not in sent],
        }.items():
            if names:
                raise TypeError(f"{tool}{self.signature()} {what} {', '.join(names)}")
        return {name: value for name, value in sent.items() if value is not None or self._can_be_null(name)}

    def _can_be_null(self, name: str) -> bool:
        annotation = _annotation(self.schemas.get(name), self.schema)
        return name in self.required or annotation in (Any, None) or type(None) in get_args(annotation)

    def _parameter(self, name: str, original: str) -> inspect.Parameter:
        schema = self.schemas[original]
        annotation, default = _annotation(schema, self.schema), schema.get("default")
        if original in self.required:
            return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        if default is None:
            annotation = _any_of([annotation, None])
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _annotation(schema: Any, root: Any, depth: int = 0) -> Any:
    """The Python type of what a JSON schema describes; ``Any`` where there is none."""
    if depth > DEEPEST or not isinstance(schema, Mapping):
        return Any
    if isinstance(schema.get("$ref"), str):
        return _annotation(_referred(schema["$ref"], root), root, depth + 1)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values and all(isinstance(each, (str, int, type(None))) for each in values):
        return Literal[tuple(values)]
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if isinstance(options, list) and options and ("allOf" not in schema or len(options) == 1):
        return _any_of([_annotation(each, root, depth + 1) for each in options])
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        return _any_of([_annotation({**schema, "type": each}, root, depth + 1) for each in kind])
    if kind == "array":
        return GenericAlias(list, (_annotation(schema.get("items"), root, depth + 1),))
    if kind == "object":
        return dict
    return SCALARS.get(kind, Any) if isinstance(kind, str) else Any


def _any_of(annotations: Sequence[Any]) -> Any:
    return Union[tuple(annotations)]  # noqa: UP007 - types have no ``|`` in Python 3.9


def _referred(reference: str, root: Any) -> Any:
    found = root
    for step in reference.lstrip("#/").split("/"):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def is_wrapper(schema: Any) -> bool:
    """Whether servers in Python made this schema to hold a value that is no object."""
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return False
    is_made = schema.get("x-fastmcp-wrap-result") is True or str(schema.get("title", "")).endswith("Output")
    return is_made and list(schema["properties"]) == ["result"] and schema.get("required") == ["result"]


def attribute(name: str) -> str:
    """The name as Python can write it."""
    if not name.isidentifier():
        name = re.sub(r"\W", "_", name, flags=re.ASCII)
        name = name if name.isidentifier() else f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def one_line(text: str) -> str:
    return " ".join(text.split())
