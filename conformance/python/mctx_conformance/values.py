# SPDX-License-Identifier: MIT
"""JSON values of the cases: variables filled in, payloads and addresses read, expectations compared."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

SHOWN_WHOLE = 64
"""A longer payload is shown as its length and its CRC-32."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class InvalidStepError(Exception):
    """A step can't be carried out as it is written."""


class Address(NamedTuple):
    """An address as the cases write it."""

    family: int
    host: str
    port: int = 0
    scope_id: int = 0
    prefix: int = 0


# ---- variables ----


def substitute(value: Any, lookup: Callable[[str], Any]) -> Any:
    """Return a copy with each ``${name}`` replaced; alone in a text it gives the variable's own type."""
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return lookup(whole[1])
        return _VARIABLE.sub(lambda match: _plain(lookup(match[1])), value)
    if isinstance(value, list):
        return [substitute(item, lookup) for item in value]
    if isinstance(value, dict):
        return {key: substitute(item, lookup) for key, item in value.items()}
    return value


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else canonical(content)


# ---- reading ----


def integer(value: Any) -> int:
    """Read a number, or a text that holds one."""
    if isinstance(value, (int, str)):
        try:
            return int(value)
        except ValueError:
            pass
    raise InvalidStepError(f"not a number: {value!r}")


def _sequence_item(number: int, length: int) -> bytes:
    start = number.to_bytes(4, "big")[:length]
    return start + bytes((number + i) & 0xFF for i in range(4, length))


def payload(value: Mapping[str, Any]) -> bytes:
    """Read one payload."""
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    if "text" in value:
        return str(value["text"]).encode()
    length = integer(value.get("length", 0))
    if "fill" in value:
        return bytes.fromhex(value["fill"]) * length
    if "sequence" in value:
        return b"".join(payloads(value))
    raise InvalidStepError("Python has no NULL payload")


def payloads(value: Any) -> list[bytes]:
    """Read a list of payloads, or the numbered ones of a sequence."""
    if isinstance(value, list):
        return [payload(item) for item in value]
    length = integer(value["length"])
    return [_sequence_item(number, length) for number in range(integer(value["sequence"]))]


def address(text: str) -> Address:
    """Read an address with what may stand behind it: scope, prefix length, port."""
    match = re.fullmatch(
        r"\[?(?P<host>[^\[\]%/]*?)(%(?P<scope>\w+))?(/(?P<prefix>\d+))?\]?(:(?P<port>\d+))?", text
    )
    plain = re.fullmatch(r"(?P<host>[^\[\]%/]*)(%(?P<scope>\w+))?(/(?P<prefix>\d+))?", text)
    found = plain if plain and text.count(":") != 1 else match
    if found is None:
        raise InvalidStepError(f"not an address: {text}")
    host = ipaddress.ip_address(found["host"])
    scope = found["scope"] or "0"
    scope_id = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    port = found.groupdict().get("port")
    return Address(host.version, str(host), int(port or 0), scope_id, int(found["prefix"] or 0))


# ---- writing ----


def shown_address(host: str | None, port: int = 0, scope_id: int | None = 0, prefix: int = 0) -> Any:
    """Return an address as results show it; None for none."""
    if host is None:
        return None
    return {"address": host, "port": port, "scope_id": scope_id or 0, "prefix": prefix}


def shown_payload(data: bytes) -> str:
    """Return a payload as results show it."""
    return data.hex() if len(data) <= SHOWN_WHOLE else f"{len(data)}:{zlib.crc32(data):08x}"


def _quoted(text: str) -> str:
    parts = []
    for letter in text:
        if letter in '"\\':
            parts.append("\\" + letter)
        elif letter < " ":
            parts.append(f"\\u{ord(letter):04x}")
        else:
            parts.append(letter)
    return '"' + "".join(parts) + '"'


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no blanks."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    if isinstance(value, dict):
        keys = sorted(value, key=str.encode)
        return "{" + ",".join(f"{_quoted(key)}:{canonical(value[key])}" for key in keys) + "}"
    return json.dumps(value)


# ---- comparing ----

_MISSING = object()
_PAYLOADS = ("hex", "text", "fill")


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return None


def _contains(operand: Any, actual: Any) -> bool:
    if isinstance(actual, str):
        return isinstance(operand, str) and operand in actual
    return isinstance(actual, list) and any(difference(operand, item, "") is None for item in actual)


def _ordered(name: str, operand: Any, actual: Any) -> bool:
    left, right = _number(actual), _number(operand)
    if left is None or right is None:
        return False
    return {"$gt": left > right, "$ge": left >= right, "$lt": left < right, "$le": left <= right}[name]


def _holds(name: str, operand: Any, actual: Any) -> bool:
    if name == "$any":
        return bool(operand) == (actual is not _MISSING)
    if actual is _MISSING:
        return False
    if name == "$not":
        return canonical(operand) != canonical(actual)
    if name == "$one_of":
        return any(difference(item, actual, "") is None for item in operand)
    if name == "$contains":
        return _contains(operand, actual)
    if name == "$length":
        return isinstance(actual, (str, list)) and len(actual) == _number(operand)
    return _ordered(name, operand, actual)


def _object_difference(expected: Mapping[str, Any], actual: Any, where: str) -> str | None:
    if isinstance(actual, str) and any(key in expected for key in _PAYLOADS):
        return None if shown_payload(payload(expected)) == actual else where
    for key, item in expected.items():
        if key.startswith("$"):
            if not _holds(key, item, actual):
                return where
            continue
        if not isinstance(actual, dict):
            return where
        found = difference(item, actual.get(key, _MISSING), f"{where}.{key}")
        if found is not None:
            return found
    return None


def difference(expected: Any, actual: Any, where: str) -> str | None:
    """Return the path to the first place where a result is not what was expected, or None."""
    if isinstance(expected, dict):
        return _object_difference(expected, actual, where)
    if actual is _MISSING:
        return where
    if not isinstance(expected, list):
        return None if canonical(expected) == canonical(actual) else where
    if not isinstance(actual, list) or len(actual) != len(expected):
        return where
    for position, (left, right) in enumerate(zip(expected, actual, strict=True)):
        found = difference(left, right, f"{where}.{position}")
        if found is not None:
            return found
    return None
