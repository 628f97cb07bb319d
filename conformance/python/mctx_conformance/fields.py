# SPDX-License-Identifier: MIT
"""What the transcript shows of a result: ``fields.json`` says which fields differ from run to run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mctx_conformance.values import canonical


class Variable(NamedTuple):
    """A saved value, and the class of the field that it came from."""

    content: Any
    field_class: str


class Fields:
    """The classes of the fields of results."""

    def __init__(self, path: Path) -> None:
        self._classes: dict[str, str] = {}
        for name, paths in json.loads(path.read_text()).items():
            self._classes.update(dict.fromkeys(paths, name))

    def class_of(self, path: str) -> str:
        """Return the class of a field, "exact" if it has none; ``path`` has no positions in arrays."""
        return self._classes.get(path, "exact")

    def show(self, value: Any, path: str, numbered: list[str], variables: dict[str, Variable]) -> Any:
        """Return a result as the transcript shows it."""
        if isinstance(value, list):
            return [self.show(item, path, numbered, variables) for item in value]
        if isinstance(value, dict):
            below = {key: f"{path}.{key}" if path else key for key in value}
            return {
                key: self.show(item, below[key], numbered, variables)
                for key, item in value.items()
                if self.class_of(below[key]) != "hidden"
            }
        field_class = self.class_of(path)
        if field_class == "exact":
            return value
        if field_class == "handle":
            return _show_handle(value, numbered)
        return _show_volatile(value, field_class, variables.items())


def _show_handle(handle: Any, numbered: list[str]) -> str:
    if handle == "0":
        return "0"
    return f"#{numbered.index(handle) + 1}" if handle in numbered else "#?"


def _show_volatile(value: Any, field_class: str, variables: Iterable[tuple[str, Variable]]) -> Any:
    """Show a number that differs from run to run: 0, the variable that holds it, or its sign."""
    if value is None:
        return None
    if field_class != "volatile":
        for name, variable in variables:
            if variable.field_class == field_class and canonical(variable.content) == canonical(value):
                return f"${{{name}}}"
    digits = re.match(r"-|\d*", str(value))
    text = digits[0] if digits else ""
    if text == "-":
        return "-"
    return "+" if text.strip("0") else "0"
