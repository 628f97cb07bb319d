# SPDX-License-Identifier: MIT
"""The simulated network: what mctx_sim.h declares, as far as the tests need it."""

from __future__ import annotations

import ctypes
from typing import Any

import libmctx
from libmctx import _ffi

sim: Any = ctypes.CDLL(libmctx.library_path())
sim.mctx_sim_fault.argtypes = [ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int64]
sim.mctx_sim_buffer.argtypes = [ctypes.c_uint32, ctypes.c_int64]
sim.mctx_sim_interface_set.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32]
sim.mctx_sim_limit_set.argtypes = [ctypes.c_uint32, ctypes.c_uint64]
sim.mctx_sim_refuse.argtypes = [ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int32]
sim.mctx_sim_calls.restype = ctypes.c_uint64
sim.mctx_sim_wire_count.restype = ctypes.c_uint64
for _name in ("sockets", "events", "pollers", "watches"):
    getattr(sim, f"mctx_sim_open_{_name}").restype = ctypes.c_uint64
sim.mctx_sim_memberships.restype = ctypes.c_uint64
sim.mctx_sim_misuses.restype = ctypes.c_uint64
sim.mctx_sim_queued.restype = ctypes.c_uint64
sim.mctx_sim_wire_at.argtypes = [ctypes.c_uint64, ctypes.c_void_p]
ALLOCATE, INTERFACES, EVENT_OPEN, SOCKET_OPEN, SOCKET_OPTION, BIND, SEND, WAIT = 0, 1, 3, 4, 5, 6, 9, 10
JOIN, LEAVE, FILTER, RECEIVE, POLLER, WATCH, HOLD = 11, 12, 13, 14, 15, 16, 17
FAIL, PARTIAL, DELIVERED = 1, 2, 4
UP, RUNNING, MULTICAST, BROADCAST = 1, 2, 8, 32
QUEUE = 4


class Arrival(ctypes.Structure):
    """``mctx_sim_arrival``."""

    _fields_ = [
        ("source", _ffi.Address),
        ("destination", _ffi.Address),
        ("interface_index", ctypes.c_uint32),
        ("hop_limit", ctypes.c_int32),
        ("traffic_class", ctypes.c_int32),
        ("segment_size", ctypes.c_uint32),
        ("delay_ns", ctypes.c_int64),
        ("payload", _ffi.CharSlot),
        ("length", ctypes.c_uint64),
    ]


def address(text: str) -> _ffi.Address:
    """Read a native address."""
    result = _ffi.Address()
    assert _ffi.address_parse(text.encode(), result, None) == 0
    return result


def deliver(
    payload: bytes,
    group: str,
    source: str = "10.0.0.5:4000",
    *,
    interface: int = 2,
    segment_size: int = 0,
    hop_limit: int = 5,
    traffic_class: int = 0,
    delay: float = 0,
) -> int:
    """Let a message come in from the network; return how many sockets it reached."""
    arrival = Arrival(
        source=address(source),
        destination=address(group),
        interface_index=interface,
        hop_limit=hop_limit,
        traffic_class=traffic_class,
        segment_size=segment_size,
        delay_ns=round(delay * 1e9),
        length=len(payload),
    )
    arrival.payload.text = payload
    return int(sim.mctx_sim_deliver(ctypes.byref(arrival)))


def fault(nth: int, status: str, *, call: int = SEND, how: int = FAIL) -> None:
    """Make a call of the system fail."""
    assert sim.mctx_sim_fault(call, nth, how, _ffi.constant(f"MCTX_ERR_{status.upper()}"))


def set_interface(
    index: int, name: str, flags: int = UP | RUNNING | MULTICAST | BROADCAST, mtu: int = 1500
) -> None:
    """Add an interface, or change one."""
    assert sim.mctx_sim_interface_set(index, name.encode(), flags, mtu)


def held() -> tuple[int, ...]:
    """Return how many sockets, events, pollers and watches are open, and how many memberships they have."""
    return (
        *(getattr(sim, f"mctx_sim_open_{name}")() for name in ("sockets", "events", "pollers", "watches")),
        sim.mctx_sim_memberships(),
    )
