# SPDX-License-Identifier: MIT
"""The objects behind a case's handles, and what its operations have in common."""

from __future__ import annotations

from typing import Any, NoReturn

import libmctx
from mctx_conformance.peers import Peers
from mctx_conformance.simulation import Simulation
from mctx_conformance.values import InvalidStepError, integer, shown_address

Result = dict[str, Any]


class RefusedError(Exception):
    """A call failed; what it returned beside its status stands in ``result``."""

    def __init__(self, error: dict[str, Any], result: Result) -> None:
        super().__init__(error["code"])
        self.error = error
        self.result = result


def shown_error(error: libmctx.MctxError) -> dict[str, Any]:
    """Return an exception as the transcript shows it."""
    return {
        "kind": error.kind,
        "code": error.name,
        "field": error.native_field,
        "item": "-1" if error.item is None else str(error.item),
        "value": str(error.value),
        "retry": error.retry,
        "delivered_locally": error.delivered_locally,
        "hint": error.hint != "",
    }


def only_c() -> NoReturn:
    """Refuse a step.

    Raises:
        InvalidStepError: Always.
    """
    raise InvalidStepError("only C can say this")


def seconds(timeout_ns: Any) -> float | None:
    """Return a timeout as the package takes it."""
    number = integer(timeout_ns)
    return None if number < 0 else number / 1e9


def shown_endpoint(endpoint: libmctx.Endpoint | None) -> Any:
    """Return an endpoint as results show it."""
    return None if endpoint is None else shown_address(endpoint.addr, endpoint.port, endpoint.scope_id)


def bits(names: list[str], kind: Any) -> Any:
    """Return flags by their names."""
    found = kind(0)
    for name in names:
        found |= kind[name.upper()]
    return found


class Objects:
    """The objects of a case."""

    def __init__(self, peers: Peers, simulation: Simulation | None) -> None:
        self._peers = peers
        self._simulation = simulation
        self._objects: dict[str, Any] = {}

    def close_all(self) -> None:
        """Close what is open."""
        for item in list(self._objects.values()):
            if isinstance(item, libmctx.Context):
                item.close()

    def _keep(self, item: Any) -> str:
        if isinstance(item, (libmctx.Publication, libmctx.Subscription)):
            handle = str(item.id)
        else:
            handle = f"{type(item).__name__}:{len(self._objects) + 1}"
        self._objects[handle] = item
        return handle

    def _object(self, handle: Any) -> Any:
        if handle not in self._objects:
            only_c()
        return self._objects[handle]
