# SPDX-License-Identifier: MIT
"""What the tests share: receivers on loopback, counting descriptors, and running Python apart."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import libmctx
from libmctx import _ffi, _watch

uvloop: Any
try:
    import uvloop
except ImportError:
    uvloop = None

PROJECT = Path(__file__).resolve().parents[1]
CHECKOUT = PROJECT.parents[1]
SIMULATED = bool(libmctx.capabilities()["simulated"])
"""Whether the native library is libmctx-sim, as in the run that test_elsewhere.py starts."""
collect_ignore = [] if SIMULATED else ["simulated"]
LOOPBACK = socket.if_nametoindex("lo") if sys.platform == "linux" else 0
GROUP4 = "239.255.77.1"
GROUP6 = "ff11::4d01"
"""Of interface-local scope: datagrams to it stay on the loopback interface."""
SOON = 20
"""Seconds: what has not happened by then, even on a busy machine, waits for something else."""


def enter_namespace() -> str:
    """Move this process into a network namespace of its own, where it may; return why not, or "".

    Its loopback interface routes multicast of both families, and nothing leaves it. LIBMCTX_TEST_NAMESPACE=0
    keeps the tests in the host's own, where they send on the loopback interface alone.
    """
    if os.environ.get("LIBMCTX_TEST_NAMESPACE") == "0":
        return "LIBMCTX_TEST_NAMESPACE is 0"
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "needs Linux and the command ip"
    unshare: Any = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    user, network = 0x10000000, 0x40000000
    identity = f"0 {os.getuid()} 1", f"0 {os.getgid()} 1"
    if unshare(network) != 0:
        if unshare(user | network) != 0:
            return f"unshare: {os.strerror(ctypes.get_errno())}"
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(identity[0])
        Path("/proc/self/gid_map").write_text(identity[1])
    for command in (
        "link set lo up",
        "route add 224.0.0.0/4 dev lo",
        "-6 route add local ff00::/8 dev lo table local",
    ):
        subprocess.run(["ip", *command.split()], check="-6" not in command)
    return ""


NO_NAMESPACE = enter_namespace()
"""Why the tests don't run in a network namespace of their own, or ""."""


class Receiver:
    """A plain socket that joined a group on the loopback interface."""

    def __init__(self, family: str, group: str | None = None) -> None:
        self.family = family
        self.group = group or (GROUP4 if family == "ipv4" else GROUP6)
        if family == "ipv4":
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((self.group, 0))
            membership = socket.inet_aton(self.group) + socket.inet_aton("127.0.0.1")
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        else:
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self.socket.bind((self.group, 0, 0, LOOPBACK))
            membership = socket.inet_pton(socket.AF_INET6, self.group) + struct.pack("@I", LOOPBACK)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.settimeout(5)
        self.port: int = self.socket.getsockname()[1]

    def open(self, context: libmctx.Context, **options: object) -> libmctx.Publication:
        """Open a publication that this receives."""
        if self.family == "ipv4":
            options.setdefault("interface", "127.0.0.1")
        elif "interface" not in options:
            options.setdefault("interface_index", LOOPBACK)
        return context.add_publication(self.group, self.port, **options)  # type: ignore[arg-type]

    def recv(self) -> bytes:
        """Return the next datagram."""
        return self.socket.recv(1 << 16)

    def recv_many(self, count: int) -> list[bytes]:
        """Return the next datagrams."""
        return [self.recv() for _ in range(count)]

    def is_empty(self) -> bool:
        """Return whether no datagram waits."""
        self.socket.settimeout(0.05)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)
        return False


@functools.cache
def missing(family: str) -> str:
    """Return why multicast of a family can't be received on loopback here, or ""."""
    try:
        receiver = Receiver(family)
        with receiver.socket, libmctx.Context() as context:
            receiver.open(context).send(b"probe")
            receiver.recv()
    except OSError as error:
        return f"no {family} multicast on loopback here: {error}"
    return ""


@pytest.fixture(params=["ipv4", "ipv6"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """A receiver of each family."""
    if reason := missing(request.param):
        pytest.skip(reason)
    receiver = Receiver(request.param)
    with receiver.socket:
        yield receiver


@pytest.fixture
def receiver4() -> Iterator[Receiver]:
    """A receiver of IPv4."""
    if reason := missing("ipv4"):
        pytest.skip(reason)
    receiver = Receiver("ipv4")
    with receiver.socket:
        yield receiver


@pytest.fixture
def receiver6() -> Iterator[Receiver]:
    """A receiver of IPv6."""
    if reason := missing("ipv6"):
        pytest.skip(reason)
    receiver = Receiver("ipv6")
    with receiver.socket:
        yield receiver


class Pair:
    """A subscription to one group on the loopback interface, and a publication that it receives."""

    def __init__(self, context: libmctx.Context, family: str, **options: Any) -> None:
        self.context = context
        self.family = family
        self.group = GROUP4 if family == "ipv4" else GROUP6
        self.source = "127.0.0.1" if family == "ipv4" else "::1"
        self.options = {"interfaces": "lo", **options}
        self.subscription = context.add_subscription(0, self.group, **self.options)
        self.port = self.subscription.port
        self.publication = self.publish()

    def publish(self, **options: Any) -> libmctx.Publication:
        """Open another publication that the subscription receives."""
        where = {"interface": "127.0.0.1"} if self.family == "ipv4" else {"interface_index": LOOPBACK}
        return self.context.add_publication(self.group, self.port, **{**where, **options})

    def coalesced(self, count: int, size: int = 100) -> None:
        """Send datagrams that the kernel delivers as one message, where it can."""
        family = socket.AF_INET if self.family == "ipv4" else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            if self.family == "ipv4":
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            else:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, LOOPBACK)
            data = b"".join(number.to_bytes(2, "big").ljust(size, b".") for number in range(count))
            udp_segment = 103
            sender.sendmsg(
                [data], [(socket.IPPROTO_UDP, udp_segment, struct.pack("H", size))], 0, (self.group, self.port)
            )


@pytest.fixture(params=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest, context: libmctx.Context) -> Pair:
    """A subscription and a publication of each family."""
    if reason := missing(request.param):
        pytest.skip(reason)
    return Pair(context, request.param)


@pytest.fixture
def pair4(context: libmctx.Context) -> Pair:
    """A subscription and a publication of IPv4."""
    if reason := missing("ipv4"):
        pytest.skip(reason)
    return Pair(context, "ipv4")


@pytest.fixture
def context() -> Iterator[libmctx.Context]:
    """An open context."""
    with libmctx.Context() as context:
        yield context


@pytest.fixture
def publication(context: libmctx.Context) -> libmctx.Publication:
    """A publication on the loopback interface, whose datagrams nobody gets."""
    return context.add_publication(GROUP4, 5000, interface="127.0.0.1", loopback=False)


def count_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))


@pytest.fixture
def no_leak() -> Iterator[None]:
    """Fail when a descriptor stays open."""
    with libmctx.Context() as context:  # what the library opens once for good
        context.add_publication(GROUP4, 5001, interface="127.0.0.1")
        libmctx.interfaces()
    before = count_descriptors()
    yield
    assert count_descriptors() == before


RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """Run a program in a fresh interpreter, outside of the checkout; it must end soon."""

    def run(program: str, *, check: bool = True, **environment: str | None) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error"}
        for name, value in environment.items():
            variables.pop(name, None)
            if value is not None:
                variables[name] = value
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """As in a terminal: background jobs of a shell ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def native_waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The native waits, each of at most 10 ms on the main thread."""
    waits: list[int] = []
    native = _ffi.wait

    def wait(*arguments: Any) -> Any:
        waits.append(arguments[3])
        return native(*arguments)

    monkeypatch.setattr(_ffi, "wait", wait)
    monkeypatch.setattr("libmctx._waiting._WAIT_SLICE_NS", 10_000_000)
    return waits


def eventually(holds: Callable[[], bool], seconds: float = 5) -> bool:
    """Return whether something comes true in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Threads:
    """Functions that run each in a thread of its own from now on."""

    def __init__(self, *works: Callable[[], object]) -> None:
        self.raised: list[BaseException] = []
        """What they raised so far, in that order."""
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self.raised.append(error)

    def join(self, seconds: float = 60) -> list[BaseException]:
        """Return what they raised when all have ended, which they must in time."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads)
        return self.raised


def send_numbers(pair: Pair, total: int, received: Sequence[Sequence[object]], threads: Threads) -> None:
    """Send so many numbers while the threads receive them, and wait until they have all."""
    for start in range(0, total, 100):
        pair.publication.send_many([b"%d" % number for number in range(start, start + 100)])
        assert eventually(lambda: sum(map(len, received)) > start - 300 or bool(threads.raised), 20)  # noqa: B023
    assert eventually(lambda: sum(map(len, received)) >= total or bool(threads.raised), 20)


Body = Callable[[], Awaitable[Any]]
Run = Callable[[Body], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a fresh loop, and check that it leaves nothing on the loop."""
    if request.param == "uvloop" and uvloop is None:
        pytest.skip("uvloop is not there")

    def run(body: Body) -> Any:
        loop: asyncio.AbstractEventLoop = (
            uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        )
        try:
            return loop.run_until_complete(asyncio.wait_for(body(), 30))
        finally:
            assert watched(loop) == []
            loop.close()

    return run


def watched(loop: asyncio.AbstractEventLoop) -> list[int]:
    """Return the descriptors that are on the loop's list."""
    return list(_watch.watches.get(loop, {}))


async def until_watched(count: int = 1) -> None:
    """Wait until so many calls wait."""
    loop = asyncio.get_running_loop()
    while sum(len(each._waiting) for each in _watch.watches.get(loop, {}).values()) < count:
        await asyncio.sleep(0.001)


class SlowLink:
    """A publication through a link of a megabit a second, whose small send buffer is soon full."""

    rate = 125_000
    """Bytes a second."""

    def __init__(self, context: libmctx.Context, **options: Any) -> None:
        self.publication = context.add_publication(
            GROUP4, 5000, interface="slow0", send_buffer=20_000, loopback=False, error_queue=False, **options
        )

    def stop(self) -> None:
        """Let next to nothing through from now on, but for a first burst."""
        command = "tc qdisc change dev slow0 root tbf rate 100bit burst 2kb limit 1mb"
        subprocess.run(command.split(), check=True)

    def fill(self) -> int:
        """Send until the send buffer is full; return how many datagrams of 1000 bytes that took."""
        for count in range(10_000):
            try:
                self.publication.send(bytes(1000))
            except libmctx.WouldBlockError:
                return count
        raise AssertionError("the send buffer never fills")


_SLOW = "tc qdisc add dev slow0 root tbf rate 1mbit burst 4kb limit 1mb"


@functools.cache
def _make_slow_link() -> str:
    if NO_NAMESPACE:
        return NO_NAMESPACE
    for command in (
        "ip link add slow0 type veth peer name slow1",
        "ip address add 10.77.0.1/24 dev slow0",
        "ip link set slow0 up",
        "ip link set slow1 up",
        _SLOW,
    ):
        try:
            subprocess.run(command.split(), check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            return f"{command}: {getattr(error, 'stderr', error)}"
    return ""


@pytest.fixture
def slow_link(context: libmctx.Context) -> SlowLink:
    """A publication whose send buffer can be filled."""
    if reason := _make_slow_link():
        pytest.skip(f"no slow link here: {reason}")
    subprocess.run(["tc", "qdisc", "del", "dev", "slow0", "root"], check=True)  # and what still waits in it
    subprocess.run(_SLOW.split(), check=True)
    return SlowLink(context)


@pytest.fixture
def down_interface() -> Iterator[str]:
    """The name of an interface with an IPv4 address that is down."""
    if NO_NAMESPACE:
        pytest.skip(NO_NAMESPACE)
    subprocess.run(["ip", "link", "add", "down0", "type", "veth", "peer", "name", "down1"], check=True)
    subprocess.run(["ip", "address", "add", "10.78.0.1/24", "dev", "down0"], check=True)
    yield "down0"
    subprocess.run(["ip", "link", "del", "down0"], check=True)
