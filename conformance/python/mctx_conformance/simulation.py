# SPDX-License-Identifier: MIT
"""The simulated network's controls, looked up at run time: the public library has none of them."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64
from typing import Any

import libmctx
from mctx_conformance.values import (
    Address,
    InvalidStepError,
    canonical,
    integer,
    payload,
    payloads,
    shown_address,
    shown_payload,
)
from mctx_conformance.values import address as read_address

FLAGS = ("up", "running", "loopback", "multicast", "point_to_point", "broadcast", "enslaved")
_SOCKET_CALLS = ("socket_open", "socket_option", "bind", "connect", "local", "send", "wait")
_RECEIVE_CALLS = ("join", "leave", "filter", "receive", "poller", "watch", "hold")
_CALLS = ("allocate", "interfaces", "route", "event_open", *_SOCKET_CALLS, *_RECEIVE_CALLS)
_FAULTS = ("", "fail", "partial", "earlier", "delivered", "new_mtu", "new_segments")
_STATES = ("absent", "refused", "needs_privilege", "available")
_MEMBERSHIP_LIMITS = ("memberships_ipv4", "sources_ipv4", "memberships_ipv6", "sources_ipv6")
_LIMITS = (*_MEMBERSHIP_LIMITS, "queue", "descriptors", "segments", "segment_size")
_FAMILIES = {"ipv4": 4, "ipv6": 6}


class _Address(Structure):
    _fields_ = [
        ("family", c_uint8),
        ("prefix", c_uint8),
        ("port", c_uint16),
        ("scope_id", c_uint32),
        ("bytes", c_uint8 * 16),
    ]


class _OsHandle(Structure):
    _fields_ = [("value", c_int64), ("type", c_uint32), ("reserved", c_uint32)]


class _Datagram(Structure):
    _fields_ = [
        ("source", _Address),
        ("destination", _Address),
        ("interface_index", c_uint32),
        ("hop_limit", c_int32),
        ("loopback", c_int32),
        ("dscp", c_int32),
        ("time_ns", c_int64),
        ("length", c_uint64),
        ("local_only", c_uint32),
        ("stored", c_uint32),
        ("payload", c_uint8 * 64),
    ]


class _Arrival(Structure):
    _fields_ = [
        ("source", _Address),
        ("destination", _Address),
        ("interface_index", c_uint32),
        ("hop_limit", c_int32),
        ("traffic_class", c_int32),
        ("segment_size", c_uint32),
        ("delay_ns", c_int64),
        ("payload", c_char_p),
        ("length", c_uint64),
    ]


class _Membership(Structure):
    _fields_ = [
        ("socket", c_int64),
        ("group", _Address),
        ("interface_index", c_uint32),
        ("alive", c_uint32),
        ("mode", c_uint32),
        ("source_count", c_uint32),
        ("sources", _Address * 64),
    ]


_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "reset": (None,),
    "fault_after": (c_int32, c_uint32, c_uint64, c_uint32, c_uint32, c_int64),
    "clear_faults": (None,),
    "calls": (c_uint64, c_uint32),
    "now": (c_int64,),
    "advance": (None, c_int64),
    "interface_set": (c_int32, c_uint32, c_char_p, c_uint32, c_uint32),
    "interface_remove": (c_int32, c_uint32),
    "address_add": (c_int32, c_uint32, POINTER(_Address)),
    "address_remove": (c_int32, c_uint32, POINTER(_Address)),
    "route_set": (None, c_uint32, c_uint32),
    "buffer": (None, c_uint32, c_int64),
    "capability_set": (None, c_uint32, c_uint32),
    "pacing_set": (c_int32, c_uint32, c_int32),
    "wire_count": (c_uint64,),
    "wire_at": (c_int32, c_uint64, POINTER(_Datagram)),
    "wire_hash": (c_uint64, c_uint64),
    "wire_clear": (None,),
    "superpackets": (c_uint64,),
    "open_sockets": (c_uint64,),
    "open_events": (c_uint64,),
    "open_pollers": (c_uint64,),
    "open_watches": (c_uint64,),
    "live_blocks": (c_uint64,),
    "misuses": (c_uint64,),
    "deliver": (c_int32, POINTER(_Arrival)),
    "queued": (c_uint64,),
    "limit_set": (c_int32, c_uint32, c_uint64),
    "refuse": (c_int32, c_uint32, c_uint32, c_int32),
    "memberships": (c_uint64,),
    "membership_at": (c_int32, c_uint64, POINTER(_Membership)),
    "watch_overflow": (None,),
    "ready": (c_uint32, POINTER(_OsHandle)),
    "socket": (c_int32, c_uint32, POINTER(_Address), POINTER(_OsHandle)),
    "socket_close": (None, POINTER(_OsHandle)),
    "socket_hash": (c_int64, POINTER(_OsHandle)),
}


def _native(value: Address | None) -> _Address:
    if value is None:
        return _Address()
    family = socket.AF_INET if value.family == 4 else socket.AF_INET6
    packed = socket.inet_pton(family, value.host)
    return _Address(
        family=value.family,
        prefix=value.prefix,
        port=value.port,
        scope_id=value.scope_id,
        bytes=(c_uint8 * 16)(*packed),
    )


def _shown(value: _Address) -> Any:
    if value.family == 0:
        return None
    family, length = (socket.AF_INET, 4) if value.family == 4 else (socket.AF_INET6, 16)
    host = socket.inet_ntop(family, bytes(value.bytes)[:length])
    return shown_address(host, value.port, value.scope_id, value.prefix)


def _hash(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash of a payload, as the wire does."""
    found = 14695981039346656037
    for byte in data:
        found = (found ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return found


def _codes() -> dict[str, int]:
    """Return the numbers of the statuses by name."""
    found: dict[str, int] = {}
    for kind in range(1, 15):
        for number in range(1, 64):
            error = libmctx.MctxError(code=-(kind * 1000 + number))
            if error.name != "unknown":
                found[error.name] = error.code
    return found


def _position(name: Any, names: tuple[str, ...]) -> int:
    if isinstance(name, int):
        return name
    if name not in names:
        raise InvalidStepError(f"unknown name: {name}")
    return names.index(name)


class Simulation:
    """The controls of ``libmctx-sim``."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (result, *arguments) in _PROTOTYPES.items():
            function = library[f"mctx_sim_{name}"]
            function.restype, function.argtypes = result, arguments
            setattr(self, f"_{name}", function)
        self._status_codes = _codes()

    @classmethod
    def find(cls) -> Simulation | None:
        """Return the controls if the library that ``libmctx`` loaded has them."""
        library = ctypes.CDLL(libmctx.library_path())
        return cls(library) if hasattr(library, "mctx_sim_reset") else None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)

    def reset(self) -> None:
        """Make the network what it is at the start of every case."""
        self._reset()

    def held(self) -> int:
        """Return how many sockets, events, pollers and watches are open, and blocks of memory are held."""
        watching = self._open_events() + self._open_pollers() + self._open_watches()
        return int(self._open_sockets() + watching + self._live_blocks())

    def misuses(self) -> int:
        """Return how often the library used what was not open."""
        return int(self._misuses())

    # ---- sockets ----

    def socket(self, family: int, local: Address | None) -> int:
        """Open a socket as a caller's own."""
        native = _OsHandle()
        self._need(self._socket(family, byref(_native(local)), byref(native)))
        return int(native.value)

    def socket_close(self, value: int) -> None:
        """Close it."""
        self._socket_close(byref(_OsHandle(value=value, type=1)))

    def socket_hash(self, value: int) -> int:
        """Return a number that tells what it is set to."""
        return int(self._socket_hash(byref(_OsHandle(value=value, type=1))))

    # ---- operations ----

    def _need(self, done: int) -> None:
        if not done:
            raise InvalidStepError("the simulated network has no room for it, or no such thing")

    def _status(self, name: str) -> int:
        if name == "ok":
            return 0
        if name not in self._status_codes:
            raise InvalidStepError(f"no status {name}")
        return self._status_codes[name]

    def sim_fault(self, args: dict[str, Any]) -> dict[str, Any]:
        """Schedule a fault."""
        fault = _position(args["type"], _FAULTS)
        call = _position(args["call"], _CALLS)
        messages = integer(args.get("messages", 0))
        given = args["value"]
        value = self._status(given) if isinstance(given, str) else integer(given)
        self._need(self._fault_after(call, integer(args["nth"]), messages, fault, value))
        return {}

    def sim_clear_faults(self, args: dict[str, Any]) -> dict[str, Any]:
        """Forget the faults that have not happened."""
        self._clear_faults()
        return {}

    def sim_calls(self, args: dict[str, Any]) -> dict[str, Any]:
        """Count calls."""
        return {"calls": str(self._calls(_position(args["call"], _CALLS)))}

    def sim_now(self, args: dict[str, Any]) -> dict[str, Any]:
        """Read the clock."""
        return {"now_ns": str(self._now())}

    def sim_advance(self, args: dict[str, Any]) -> dict[str, Any]:
        """Move the clock."""
        self._advance(integer(args["duration_ns"]))
        return {}

    def sim_interface_set(self, args: dict[str, Any]) -> dict[str, Any]:
        """Add an interface, or change one."""
        flags = sum(1 << _position(name, FLAGS) for name in args["flags"])
        name = args["name"].encode()
        self._need(self._interface_set(integer(args["index"]), name, flags, integer(args.get("mtu", 1500))))
        return {}

    def sim_interface_remove(self, args: dict[str, Any]) -> dict[str, Any]:
        """Remove an interface."""
        self._need(self._interface_remove(integer(args["index"])))
        return {}

    def sim_address_add(self, args: dict[str, Any]) -> dict[str, Any]:
        """Give an interface an address."""
        self._need(self._address_add(integer(args["index"]), byref(_native(read_address(args["address"])))))
        return {}

    def sim_address_remove(self, args: dict[str, Any]) -> dict[str, Any]:
        """Take an address away."""
        self._need(self._address_remove(integer(args["index"]), byref(_native(read_address(args["address"])))))
        return {}

    def sim_route_set(self, args: dict[str, Any]) -> dict[str, Any]:
        """Say where unnamed multicast leaves."""
        self._route_set(_FAMILIES[args["family"]], integer(args["index"]))
        return {}

    def sim_buffer(self, args: dict[str, Any]) -> dict[str, Any]:
        """Bound the send buffers of sockets opened from now on."""
        self._buffer(integer(args["datagrams"]), integer(args["drain_ns"]))
        return {}

    def sim_capability_set(self, args: dict[str, Any]) -> dict[str, Any]:
        """Take a capability away, or give it back."""
        number = list(libmctx.capabilities()).index(args["capability"])
        self._capability_set(number, _position(args["state"], _STATES))
        return {}

    def sim_pacing_set(self, args: dict[str, Any]) -> dict[str, Any]:
        """Say whether an interface's queue keeps to pacing rates."""
        self._need(self._pacing_set(integer(args["index"]), int(args["paces"])))
        return {}

    def _datagrams(self) -> list[_Datagram]:
        found = []
        for position in range(self._wire_count()):
            datagram = _Datagram()
            if self._wire_at(position, byref(datagram)):
                found.append(datagram)
        return found

    def sim_wire(self, args: dict[str, Any]) -> dict[str, Any]:
        """Show all that the wire holds, in order."""
        datagrams = [
            {
                "payload": shown_payload(bytes(each.payload)[: each.stored]),
                "length": str(each.length),
                "source": _shown(each.source),
                "destination": _shown(each.destination),
                "interface_index": each.interface_index,
                "hop_limit": each.hop_limit,
                "loopback": each.loopback,
                "dscp": each.dscp,
                "local_only": each.local_only,
            }
            for each in self._datagrams()
        ]
        return {"count": str(self._wire_count()), "datagrams": datagrams}

    def sim_wire_sequence(self, args: dict[str, Any]) -> dict[str, Any]:
        """Count how many of the wire's datagrams, from the first on, are those of a sequence."""
        in_sequence = 0
        for each, wanted in zip(self._datagrams(), payloads(args), strict=False):
            if each.length != len(wanted) or self._wire_hash(in_sequence) != _hash(wanted):
                break
            in_sequence += 1
        return {"count": str(self._wire_count()), "in_sequence": str(in_sequence)}

    def sim_wire_clear(self, args: dict[str, Any]) -> dict[str, Any]:
        """Empty the wire."""
        self._wire_clear()
        return {}

    def sim_superpackets(self, args: dict[str, Any]) -> dict[str, Any]:
        """Count the superpackets that were cut."""
        return {"superpackets": str(self._superpackets())}

    # ---- receiving ----

    def sim_deliver(self, args: dict[str, Any]) -> dict[str, Any]:
        """Let a message come in."""
        data = payload(args["payload"])
        arrival = _Arrival(
            source=_native(read_address(args["source"])),
            destination=_native(read_address(args["destination"])),
            interface_index=integer(args.get("interface_index", 2)),
            hop_limit=integer(args.get("hop_limit", 1)),
            traffic_class=integer(args.get("traffic_class", 0)),
            segment_size=integer(args.get("segment_size", 0)),
            delay_ns=integer(args.get("delay_ns", 0)),
            payload=data,
            length=len(data),
        )
        sockets = self._deliver(byref(arrival))
        if sockets < 0:
            raise InvalidStepError("the simulated network takes no such message")
        return {"sockets": sockets}

    def sim_queued(self, args: dict[str, Any]) -> dict[str, Any]:
        """Count the messages that wait at sockets."""
        return {"messages": str(self._queued())}

    def sim_limit_set(self, args: dict[str, Any]) -> dict[str, Any]:
        """Set a limit of the host."""
        self._need(self._limit_set(_position(args["limit"], _LIMITS), integer(args["value"])))
        return {}

    def sim_refuse(self, args: dict[str, Any]) -> dict[str, Any]:
        """Let an interface refuse joins."""
        status = self._status(args["status"])
        self._need(self._refuse(integer(args["index"]), _FAMILIES[args["family"]], status))
        return {}

    def sim_memberships(self, args: dict[str, Any]) -> dict[str, Any]:
        """Show what the simulated system has joined, in order of their texts."""
        found = []
        count = self._memberships()
        for position in range(count):
            one = _Membership()
            if self._membership_at(position, byref(one)):
                shown = {
                    "group": _shown(one.group),
                    "interface_index": one.interface_index,
                    "alive": bool(one.alive),
                    "mode": "include" if one.mode else "exclude",
                    "source_count": one.source_count,
                }
                found.append(shown)
        return {"count": str(count), "memberships": sorted(found, key=canonical)}

    def sim_watch_overflow(self, args: dict[str, Any]) -> dict[str, Any]:
        """Let the watches lose what they hold."""
        self._watch_overflow()
        return {}

    def sim_ready(self, args: dict[str, Any]) -> dict[str, Any]:
        """Tell what a native handle is ready for."""
        ready = self._ready(byref(_OsHandle(value=integer(args["native"]), type=1)))
        return {"ready": [name for bit, name in enumerate(("readable", "writable")) if ready >> bit & 1]}
