# SPDX-License-Identifier: MIT
"""The runner's own plain sockets: what was sent is judged by what arrives there."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from typing import Any

from mctx_conformance.simulation import Simulation
from mctx_conformance.values import (
    Address,
    InvalidStepError,
    integer,
    payload,
    payloads,
    shown_address,
    shown_payload,
)
from mctx_conformance.values import address as read_address

_ARRIVAL = 5.0
_SILENCE = 0.03
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NUMBERS = {"ipv4": 4, "ipv6": 6}
_RECVERR = {True: 11, False: 25}
_MTU_DISCOVER = {True: 10, False: 23}
_MAX_PACING_RATE = 47
"""Numbers of Linux that the module socket does not name: IP_RECVERR, IPV6_RECVERR and so on."""


def loopback_name() -> str:
    """Return the name of the loopback interface."""
    return "lo" if any(name == "lo" for _, name in socket.if_nameindex()) else "lo0"


def loopback_index() -> int:
    """Return its index."""
    return socket.if_nametoindex(loopback_name())


def _target(value: Address) -> tuple[Any, ...]:
    return (value.host, value.port) if value.family == 4 else (value.host, value.port, 0, value.scope_id)


def _shown(family: int, native: tuple[Any, ...]) -> Any:
    if family == socket.AF_INET:
        return shown_address(native[0], native[1])
    return shown_address(str(native[0]).split("%")[0], native[1], native[3])


def receiver(group: Address) -> socket.socket:
    """Open a receiver of one group on the loopback interface; the port is chosen if it is 0."""
    opened = socket.socket(_FAMILIES[group.family], socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        packed = socket.inet_pton(opened.family, group.host)
        if group.family == 4:
            opened.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_RECVTTL", 12), 1)
            opened.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_RECVTOS", 13), 1)
            opened.bind((group.host, group.port))
            request = packed + socket.inet_aton("127.0.0.1")
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            opened.bind((group.host, group.port, 0, loopback_index()))
            request = packed + struct.pack("@I", loopback_index())
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    except OSError:
        opened.close()
        raise
    return opened


def _readable(opened: socket.socket, timeout: float) -> bool:
    return bool(select.select([opened], [], [], timeout)[0])


def loopback_works(group_text: str) -> bool:
    """Tell whether multicast of a family goes round on the loopback interface, tried with plain sockets."""
    group = read_address(group_text)
    try:
        with receiver(group) as opened, socket.socket(opened.family, socket.SOCK_DGRAM) as sender:
            port = opened.getsockname()[1]
            if group.family == 4:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                sender.sendto(b"?", (group.host, port))
            else:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, loopback_index())
                sender.sendto(b"?", (group.host, port, 0, loopback_index()))
            return _readable(opened, 1.0)
    except OSError:
        return False


class Peer:
    """A socket of the runner: a plain one, or one of the simulated network."""

    def __init__(self, plain: socket.socket | int, simulation: Simulation | None = None) -> None:
        self._plain = plain if isinstance(plain, socket.socket) else None
        self._number = plain if isinstance(plain, int) else -1
        self._simulation = simulation
        self._open = True

    @property
    def plain(self) -> socket.socket:
        """The plain socket."""
        if self._plain is None:
            raise InvalidStepError("this is no plain socket")
        return self._plain

    def to_adopt(self) -> socket.socket | int:
        """Return what a publication adopts."""
        return self._number if self._plain is None else self._plain

    def given_away(self) -> None:
        """Note that it is a publication's now, and that the package took it out of its socket object."""
        self._open = False
        if self._plain is not None and self._plain.fileno() != -1:
            raise InvalidStepError("the adopted socket object still holds its descriptor")

    def close(self) -> None:
        """Close it, unless it is closed or another's."""
        if not self._open:
            return
        self._open = False
        if self._simulation is not None:
            self._simulation.socket_close(self._number)
        elif self._plain is not None:
            self._plain.close()
        else:
            os.close(self._number)

    def state(self) -> dict[str, Any]:
        """Return all that a failed call might have changed."""
        if self._simulation is not None:
            fingerprint = self._simulation.socket_hash(self._number)
            return {"open": self._open, "fingerprint": str(fingerprint)}
        number = self._number if self._plain is None else self._plain.fileno()
        try:
            blocking = os.get_blocking(number)
        except OSError:
            return {"open": False, "nonblocking": False, "fingerprint": ""}
        fingerprint_text = "" if self._plain is None else self._fingerprint(self._plain)
        return {"open": True, "nonblocking": not blocking, "fingerprint": f"{blocking} {fingerprint_text}"}

    @staticmethod
    def _fingerprint(plain: socket.socket) -> str:
        v4 = plain.family == socket.AF_INET
        level = socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6
        options = [
            (socket.SOL_SOCKET, socket.SO_REUSEADDR),
            (socket.SOL_SOCKET, socket.SO_REUSEPORT),
            (socket.SOL_SOCKET, socket.SO_SNDBUF),
            (level, socket.IP_MULTICAST_TTL if v4 else socket.IPV6_MULTICAST_HOPS),
            (level, socket.IP_MULTICAST_LOOP if v4 else socket.IPV6_MULTICAST_LOOP),
            (level, socket.IP_MULTICAST_IF if v4 else socket.IPV6_MULTICAST_IF),
            (level, socket.IP_TOS if v4 else socket.IPV6_TCLASS),
        ]
        found: list[Any] = [plain.get_inheritable(), plain.getsockname()]
        for option in options:
            try:
                found.append(plain.getsockopt(*option))
            except OSError as error:
                found.append(error.errno)
        try:
            found.append(plain.getpeername())
        except OSError:
            found.append(None)
        return repr(found)


class Peers:
    """The sockets of a case, by name."""

    def __init__(self, simulation: Simulation | None) -> None:
        self._simulation = simulation
        self._peers: dict[str, Peer] = {}

    def add(self, peer: Peer) -> str:
        """Keep a socket; return its name."""
        name = f"peer:{len(self._peers) + 1}"
        self._peers[name] = peer
        return name

    def find(self, name: Any) -> Peer:
        """Return the socket of a name."""
        if name not in self._peers:
            raise InvalidStepError(f"not a socket of this case: {name}")
        return self._peers[name]

    def close(self) -> None:
        """Close all that are open."""
        for peer in self._peers.values():
            peer.close()

    # ---- receiving ----

    def peer_open(self, args: dict[str, Any]) -> dict[str, Any]:
        """Open a receiver of a group."""
        group = read_address(args["group"])._replace(port=integer(args.get("port", 0)))
        opened = receiver(group)
        return {"peer": self.add(Peer(opened)), "port": opened.getsockname()[1]}

    @staticmethod
    def _datagram(plain: socket.socket) -> dict[str, Any] | None:
        if not _readable(plain, _ARRIVAL):
            return None
        data, control, _, source = plain.recvmsg(65536, 256)
        datagram = {"payload": shown_payload(data), "source": _shown(plain.family, source)}
        ttl = {socket.IP_TTL, getattr(socket, "IP_RECVTTL", 12)}
        for level, kind, content in control:
            number = content[0] if len(content) < 4 else struct.unpack("@i", content[:4])[0]
            is_hops = kind in ttl if level == socket.IPPROTO_IP else kind == socket.IPV6_HOPLIMIT
            datagram["hop_limit" if is_hops else "traffic_class"] = number
        return datagram

    def peer_receive(self, args: dict[str, Any]) -> dict[str, Any]:
        """Receive datagrams."""
        plain = self.find(args["peer"]).plain
        datagrams = []
        for _ in range(integer(args.get("count", 1))):
            one = self._datagram(plain)
            if one is None:
                break
            datagrams.append(one)
        return {"datagrams": datagrams}

    def peer_receive_sequence(self, args: dict[str, Any]) -> dict[str, Any]:
        """Count what came, and how many of it, from the first on, are the datagrams of a sequence."""
        plain = self.find(args["peer"]).plain
        wanted = payloads(args)
        received = in_sequence = 0
        while received < integer(args["count"]) and _readable(plain, _ARRIVAL):
            data = plain.recv(65536)
            if received == in_sequence < len(wanted) and data == wanted[in_sequence]:
                in_sequence += 1
            received += 1
        return {"received": str(received), "in_sequence": str(in_sequence)}

    def peer_empty(self, args: dict[str, Any]) -> dict[str, Any]:
        """Tell whether nothing more came."""
        return {"empty": not _readable(self.find(args["peer"]).plain, _SILENCE)}

    def peer_close(self, args: dict[str, Any]) -> dict[str, Any]:
        """Close a receiver."""
        self.find(args["peer"]).close()
        return {}

    # ---- sockets to adopt, and sockets that were taken out ----

    def socket_open(self, args: dict[str, Any]) -> dict[str, Any]:
        """Open a socket."""
        family = _NUMBERS[args["family"]]
        local = read_address(args["local"]) if args.get("local") else None
        if self._simulation is not None:
            peer = Peer(self._simulation.socket(family, local), self._simulation)
            return {"socket": self.add(peer), "source_port": local.port if local else 0}
        kind = socket.SOCK_STREAM if args.get("type") == "tcp" else socket.SOCK_DGRAM
        opened = socket.socket(_FAMILIES[family], kind)
        try:
            if local is not None:
                opened.bind(_target(local))
            if args.get("destination"):
                opened.connect(_target(read_address(args["destination"])))
        except OSError:
            opened.close()
            raise
        return {"socket": self.add(Peer(opened)), "source_port": opened.getsockname()[1]}

    def pipe_open(self, args: dict[str, Any]) -> dict[str, Any]:
        """Open a descriptor that is no socket."""
        reading, writing = os.pipe()
        os.close(writing)
        return {"socket": self.add(Peer(reading))}

    def socket_state(self, args: dict[str, Any]) -> dict[str, Any]:
        """Tell what a socket is set to."""
        return self.find(args["socket"]).state()

    def socket_options(self, args: dict[str, Any]) -> dict[str, Any]:
        """Tell what the system says of a socket, asked with plain calls; -1 where it does not tell."""
        plain = self.find(args["socket"]).plain
        v4 = plain.family == socket.AF_INET
        level = socket.IPPROTO_IP if v4 else socket.IPPROTO_IPV6
        options = {
            "hop_limit": (level, socket.IP_MULTICAST_TTL if v4 else socket.IPV6_MULTICAST_HOPS),
            "loopback": (level, socket.IP_MULTICAST_LOOP if v4 else socket.IPV6_MULTICAST_LOOP),
            "traffic_class": (level, socket.IP_TOS if v4 else socket.IPV6_TCLASS),
            "reuse_address": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
        }
        if sys.platform == "linux":
            options |= {
                "priority": (socket.SOL_SOCKET, socket.SO_PRIORITY),
                "mark": (socket.SOL_SOCKET, socket.SO_MARK),
                "error_queue": (level, _RECVERR[v4]),
                "path_mtu_discovery": (level, _MTU_DISCOVER[v4]),
            }
        found: dict[str, Any] = {}
        for name, option in options.items():
            try:
                found[name] = plain.getsockopt(*option)
            except OSError:
                found[name] = -1
        if sys.platform == "linux":
            device = plain.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
            found["device"] = device.split(b"\0")[0].decode()
            rate = plain.getsockopt(socket.SOL_SOCKET, _MAX_PACING_RATE, 8)
            found["pacing_rate"] = str(int.from_bytes(rate, sys.byteorder))
        return found

    def socket_send(self, args: dict[str, Any]) -> dict[str, Any]:
        """Send a datagram with a plain call."""
        plain = self.find(args["socket"]).plain
        data = payload(args["payload"])
        if args.get("destination"):
            return {"sent": plain.sendto(data, _target(read_address(args["destination"])))}
        return {"sent": plain.send(data)}

    def socket_close(self, args: dict[str, Any]) -> dict[str, Any]:
        """Close a socket."""
        self.find(args["socket"]).close()
        return {}
