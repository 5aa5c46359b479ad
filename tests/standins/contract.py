"""A published API specification as a judge: every request to a stand-in, and every answer of it, must be what it says.

Swagger 2.0 and OpenAPI 3.0 are turned into JSON Schema. What go-swagger cannot say is allowed: a field without a value
may be null, as Gitea and Forgejo send it. What nobody documents is not: other paths, parameters, fields and statuses.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema

from tests.standins.git_server import Asked, Given

SPECS = Path(__file__).with_name("specs")
EVERYWHERE = (401, 429)
"""What an API may answer to anything, and documents once for all."""


@dataclass
class Contract:
    """One specification, and what was found against it."""

    name: str
    violations: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Methods and paths that were asked for, as the specification writes them."""

    def check(self, base: str, asked: Asked, given: Given) -> None:
        """Note what is wrong with a request below ``base`` and with its answer."""
        where = f"{asked.method} {asked.path}"
        operation = self._operation(asked.method, asked.path.removeprefix(base))
        if operation is None:
            self.violations.append(f"{self.name} has no {where}")
            return
        found = [
            *self._of_query(operation, asked),
            *self._of_body(operation, asked),
            *self._of_answer(operation, given),
        ]
        self.violations += [f"{self.name}: {where}: {fault}" for fault in found]

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        spec = specification(self.name)
        for template in sorted(spec["paths"], key=lambda each: each.count("{")):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                operation: dict[str, Any] | None = spec["paths"][template].get(method.lower())
                if operation is not None:
                    self.seen.add(f"{method} {template}")
                return operation
        return None

    def _parameters(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        return [_resolved(self.name, each) for each in operation.get("parameters", [])]

    def _of_query(self, operation: dict[str, Any], asked: Asked) -> list[str]:
        known = {
            each["name"]: each.get("schema", each) for each in self._parameters(operation) if each["in"] == "query"
        }
        faults = []
        for name, value in parse_qsl(asked.query, keep_blank_values=True):
            if name not in known:
                faults.append(f"no parameter {name}")
            elif known[name].get("type") == "integer" and not value.isdigit():
                faults.append(f"{name}={value} is no number")
            elif "enum" in known[name] and value not in known[name]["enum"]:
                faults.append(f"{name}={value} is not allowed")
        return faults

    def _of_body(self, operation: dict[str, Any], asked: Asked) -> list[str]:
        in_body = [each["schema"] for each in self._parameters(operation) if each["in"] == "body"]
        if "requestBody" in operation:
            in_body.append(_closed(operation["requestBody"]["content"]["application/json"]["schema"]))
        if not in_body:
            return ["a body"] if asked.body else []
        if asked.headers.get("content-type", "").partition(";")[0] != "application/json":
            return ["its body is not said to be JSON"]
        return self._faults(in_body[0], json.loads(asked.body), "body")

    def _of_answer(self, operation: dict[str, Any], given: Given) -> list[str]:
        if given.status in EVERYWHERE:
            return []
        documented = operation["responses"].get(str(given.status))
        if documented is None:
            return [f"no status {given.status}"]
        answer = _resolved(self.name, documented)
        schema = answer.get("schema") or answer.get("content", {}).get("application/json", {}).get("schema")
        if schema is None or not given.body:
            return []
        return self._faults(schema, json.loads(given.body), f"answer {given.status}")

    def _faults(self, schema: dict[str, Any], value: Any, what: str) -> list[str]:
        spec = specification(self.name)
        if "swagger" in spec:
            value = _without_nulls(value)
        whole = {**schema, "definitions": spec.get("definitions", {}), "components": spec.get("components", {})}
        errors = jsonschema.Draft4Validator(whole, format_checker=jsonschema.FormatChecker()).iter_errors(value)
        return [f"{what} {'/'.join(map(str, error.path))}: {error.message[:300]}" for error in errors]


@cache
def specification(name: str) -> dict[str, Any]:
    """Of ``gitea``, ``forgejo`` or ``github``, its schemas as JSON Schema."""
    spec: dict[str, Any] = _as_json_schema(json.loads((SPECS / f"{name}.json").read_text()))
    for schema in spec.get("definitions", {}).values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return spec


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 has ``nullable`` where JSON Schema has a type of its own."""
    if isinstance(node, list):
        return [_as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _as_json_schema(value) for key, value in node.items()}
    if found.pop("nullable", None) is True:
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
        return {"anyOf": [{"type": "null"}, found]}
    return found


def _resolved(name: str, node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = specification(name)
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(name, found)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {"additionalProperties": False, **schema}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
