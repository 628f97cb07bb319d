# SPDX-License-Identifier: MIT
"""Closing, garbage, threads, forks, pickling, the end of the interpreter; adopting and releasing sockets."""

from __future__ import annotations

import copy
import functools
import gc
import os
import pickle
import random
import socket
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import GROUP4, Receiver, RunPython, SlowLink, Threads, count_descriptors

import libmctx

USES: dict[str, Callable[[Any], object]] = {
    "send": lambda each: each.send(b"x"),
    "send_many": lambda each: each.send_many([b"x"]),
    "send_segments": lambda each: each.send_segments(b"xy", 1),
    "group": lambda each: each.group,
    "dst_port": lambda each: each.dst_port,
    "family": lambda each: each.family,
    "configured_source_addr": lambda each: each.configured_source_addr,
    "source_port": lambda each: each.source_port,
    "outgoing_interface": lambda each: each.outgoing_interface,
    "outgoing_interface_index": lambda each: each.outgoing_interface_index,
    "ttl": lambda each: each.ttl,
    "loopback": lambda each: each.loopback,
    "destination": lambda each: each.destination,
    "destination_scope_id": lambda each: each.destination_scope_id,
    "local_addr": lambda each: each.local_addr(),
    "local_scope_id": lambda each: each.local_scope_id(),
    "source_addr": lambda each: each.source_addr(),
    "announce_tuple": lambda each: each.announce_tuple(),
    "info": lambda each: each.info(),
    "fileno": lambda each: each.fileno(),
    "metrics": lambda each: each.metrics(),
    "events": lambda each: each.events(),
    "wait": lambda each: each.wait(),
    "wake": lambda each: each.wake(),
    "detach": lambda each: each.detach(),
    "release": lambda each: each.release(),
}


@pytest.mark.parametrize("how", ["remove", "context", "remove_publication", "with", "release"])
@pytest.mark.usefixtures("no_leak")
def test_use_after_close(how: str) -> None:
    with libmctx.Context() as context:
        publication = context.add_publication(GROUP4, 5000, interface="lo")
        if how == "remove":
            assert publication.remove() is True
            assert context.publication_count() == 0
        elif how == "context":
            context.close()
        elif how == "remove_publication":
            assert context.remove_publication(publication.id) is True
            assert context.remove_publication(publication.id) is False
        elif how == "release":
            publication.release().close()
        else:
            with publication as same:
                assert same is publication
        assert publication.closed
        assert publication.remove() is False
        publication.close()
        for name, use in USES.items():
            with pytest.raises(libmctx.ClosedError) as caught:
                use(publication)
            assert isinstance(caught.value, LookupError), name
        assert isinstance(publication.id, int)
        assert "closed" in repr(publication)
        if how != "context":
            with pytest.raises(libmctx.ClosedError):
                context.get_publication(publication.id)
            with pytest.raises(libmctx.ClosedError):
                context.send(publication.id, b"x")


@pytest.mark.usefixtures("no_leak")
def test_a_closed_context() -> None:
    context = libmctx.Context()
    publication = context.add_publication(GROUP4, 5000, interface="lo")
    context.close()
    context.close()
    assert context.closed
    assert repr(context) == "Context(closed)"
    for use in (
        context.publication_count,
        context.publications,
        context.metrics,
        context.events,
        context.wait,
        context.wake,
        lambda: context.add_publication(GROUP4, 5000),
        lambda: context.get_publication(publication.id),
        lambda: context.remove_publication(publication.id),
        lambda: context.send(publication.id, b"x"),
        lambda: context.send_all(b"x"),
        context.__enter__().publication_count,
    ):
        with pytest.raises(libmctx.ClosedError):
            use()


def test_lookups_return_the_one_object(context: libmctx.Context, publication: libmctx.Publication) -> None:
    assert context.get_publication(publication.id) is publication
    assert context.publications() == [publication]
    assert repr(context) == "Context(publication_count=1, subscription_count=0)"
    assert repr(publication) == (
        f"<Publication id={publication.id}, group='{GROUP4}', port=5000, family='ipv4'>"
    )


def test_a_context_owns_publications_that_nobody_holds(receiver4: Receiver) -> None:
    with libmctx.Context() as context:
        number = receiver4.open(context).id
        gc.collect()
        context.send(number, b"still open")
        assert receiver4.recv() == b"still open"
        assert context.get_publication(number).id == number


def test_a_context_forgets_closed_publications(context: libmctx.Context) -> None:
    kept = context.add_publication(GROUP4, 5000, interface="lo")
    for _ in range(200):
        context.add_publication(GROUP4, 5001, interface="lo").close()
    assert len(context._publications.objects) < 50
    assert context.get_publication(kept.id) is kept


@pytest.mark.usefixtures("no_leak")
def test_a_publication_keeps_its_context_open(receiver4: Receiver) -> None:
    publication = receiver4.open(libmctx.Context())
    gc.collect()
    publication.send(b"still open")
    assert receiver4.recv() == b"still open"
    owner = weakref.ref(publication._owner)
    del publication
    assert owner() is None  # at once: there are no cycles
    assert receiver4.is_empty()


@pytest.mark.usefixtures("no_leak")
def test_the_port_is_free_after_close() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(20):
        with libmctx.Context() as context:
            context.add_publication(
                GROUP4, 5000, source="127.0.0.1", source_port=port, interface="lo", reuse_port=False
            )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", port))


@pytest.mark.usefixtures("no_leak")
def test_threads_that_open_send_and_close_at_random(receiver4: Receiver) -> None:
    context = libmctx.Context()
    shared: list[libmctx.Publication] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(150):
            try:
                action = rng.randrange(6)
                if action == 0 or not shared:
                    shared.append(receiver4.open(context, loopback=False, allow_duplicate=True))
                elif action == 1:
                    shared.pop(rng.randrange(len(shared))).close()
                elif action == 2:
                    context.send_all(b"all")
                elif action == 3:
                    rng.choice(shared).send_many([b"a", bytearray(b"b")], timeout=1)
                elif action == 4:
                    repr(rng.choice(shared)), context.publications(), context.metrics()
                else:
                    repr(rng.choice(shared).send(b"one"))
            except (libmctx.ClosedError, IndexError):
                pass

    assert Threads(*(functools.partial(work, seed) for seed in range(8))).join() == []
    context.close()
    assert all(each.closed for each in shared)


def test_live_objects_do_not_pickle(context: libmctx.Context, publication: libmctx.Publication) -> None:
    for each in (context, publication):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                attempt(each)
    with pytest.raises(TypeError, match="add_publication"):
        libmctx.Publication()


FORKED = """
import os, socket, sys
import libmctx
context = libmctx.Context()
publication = context.add_publication("239.255.77.1", 5000, interface="127.0.0.1", loopback=False)
report = publication.send(b"x")
asynchronous = libmctx.AsyncPublication(publication)
child = os.fork()
if child == 0:
    import asyncio
    failed = []
    for use in (lambda: publication.send(b"x"), lambda: publication.send_many([b"x"]), publication.fileno,
                context.publication_count, lambda: context.get_publication(publication.id),
                lambda: asyncio.run(asynchronous.send(b"x")), lambda: context.send_all(b"x"),
                lambda: context.wait(1)):
        try:
            use()
            failed.append("no error")
        except libmctx.ClosedError as error:
            if error.name != "forked":
                failed.append(error.name)
    if repr(report) != f"SendReport(publication_id={publication.id}, bytes_sent=1)":
        failed.append(repr(report))
    if not (publication.closed and context.closed):
        failed.append("open")
    publication.close()
    context.close()
    with libmctx.Context() as own:
        own.add_publication("239.255.77.1", 5000, interface="127.0.0.1").send(b"x")
    print(failed, flush=True)
    sys.exit(len(failed))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
publication.send(b"still open")
assert publication.metrics().packets_sent == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_closed_objects_and_the_parent_open_ones(run_python: RunPython) -> None:
    assert run_python(FORKED, PYTHONWARNINGS="ignore").stdout == "[]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_spawned_program_inherits_no_socket(run_python: RunPython) -> None:
    run_python(
        """
import libmctx, os, subprocess, sys
context = libmctx.Context()
publication = context.add_publication("239.255.77.1", 5000, interface="127.0.0.1")
program = "import os, sys; sys.exit(os.path.exists('/proc/self/fd/' + sys.argv[1]))"
command = [sys.executable, "-c", program, str(publication.fileno())]
subprocess.run(command, check=True, close_fds=False)
"""
    )


ENDS = {
    "everything open": "",
    "a thread that waits": """
import threading
threading.Thread(target=context.wait, daemon=True).start()
""",
    "a thread that sends": """
import threading
def send():
    while True:
        publication.send(b"x")
        publication.send_many([b"x"] * 10, timeout=None)
threading.Thread(target=send, daemon=True).start()
time.sleep(0.05)
""",
    "an error that holds all": """
try:
    publication.send_many([b"x", bytes(70000)])
except libmctx.MctxError as caught:
    error = caught
""",
    "a cycle": "publication_cycle = [publication, context]; publication_cycle.append(publication_cycle)",
    "a task that waits": """
import asyncio
loop = asyncio.new_event_loop()
async def wait():
    await asyncio.sleep(100)
task = loop.create_task(libmctx.AsyncPublication(publication, loop=loop).send_many([b"x"] * 10))
loop.run_until_complete(task)
loop.close()
""",
    "an atexit function": "import atexit; atexit.register(lambda: publication.send(b'x'))",
    "a destructor": """
class Late:
    def __del__(self, publication=publication):
        publication.send(b'x')
        publication.close()
sys.late = Late()
""",
    "sys.exit": "sys.exit(0)",
    "a thread that is not a daemon": """
import threading
threading.Timer(0.2, context.close).start()
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_interpreter_ends_whatever_is_open(run_python: RunPython, end: str) -> None:
    done = run_python(
        f"""
import sys, time
import libmctx
context = libmctx.Context()
publication = context.add_publication("239.255.77.1", 5000, interface="127.0.0.1", loopback=False)
report = publication.send(b"x")
{end}
""",
        PYTHONWARNINGS="ignore",
    )
    assert done.stderr == ""


@pytest.mark.usefixtures("no_leak")
def test_a_python_socket_is_adopted(context: libmctx.Context, receiver: Receiver) -> None:
    own = socket.socket(receiver.socket.family, socket.SOCK_DGRAM)
    descriptor = own.fileno()
    publication = receiver.open(context, socket=own)
    assert own.fileno() == -1  # the publication's now
    assert publication.fileno() == descriptor
    assert publication.info().adopted
    publication.send(b"adopted")
    assert receiver.recv() == b"adopted"
    publication.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.usefixtures("no_leak")
def test_a_descriptor_is_adopted_and_taken_out(context: libmctx.Context, receiver: Receiver) -> None:
    descriptor = socket.socket(receiver.socket.family, socket.SOCK_DGRAM).detach()
    publication = receiver.open(context, socket=descriptor)
    publication.send(b"adopted")
    assert publication.detach() == descriptor
    assert publication.closed
    assert context.publication_count() == 0
    with socket.socket(fileno=descriptor) as own:
        own.send(b"on my own")
    assert receiver.recv_many(2) == [b"adopted", b"on my own"]


@pytest.mark.usefixtures("no_leak")
def test_release_gives_a_python_socket(context: libmctx.Context, receiver: Receiver) -> None:
    publication = receiver.open(context)
    report = publication.send(b"before")
    with publication.release() as own:
        assert own.gettimeout() == 0
        assert own.family == receiver.socket.family
        assert own.getsockname()[:2] == report.local_addr
        own.send(b"after")
        with receiver.open(context, socket=own) as again:
            again.send(b"again")
    assert receiver.recv_many(3) == [b"before", b"after", b"again"]


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "socket_type"),
        (socket.AF_INET6, socket.SOCK_DGRAM, "socket_family"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "socket"),
    ],
)
def test_a_socket_that_does_not_fit_stays_the_callers(
    context: libmctx.Context, family: socket.AddressFamily, kind: socket.SocketKind, name: str
) -> None:
    with socket.socket(family, kind) as own:
        descriptor, blocking = own.fileno(), own.getblocking()
        with pytest.raises(libmctx.UsageError) as caught:
            context.add_publication(GROUP4, 5000, socket=own)
        assert caught.value.name.startswith(name)
        assert caught.value.field == "socket"
        assert (own.fileno(), own.getblocking()) == (descriptor, blocking)
        assert os.get_blocking(descriptor)


def test_a_socket_bound_elsewhere_is_refused(context: libmctx.Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        with pytest.raises(libmctx.UsageError) as caught:
            context.add_publication(GROUP4, 5000, socket=own, source="127.0.0.1", source_port=1)
        assert caught.value.name == "socket_port"
        assert own.fileno() >= 0
    with pytest.raises(libmctx.UsageError) as caught:
        context.add_publication(GROUP4, 5000, socket=own)  # closed by now
    assert caught.value.name == "not_a_socket"


def test_closing_while_a_thread_sends(slow_link: SlowLink) -> None:
    before = count_descriptors()

    def send() -> None:
        while True:
            slow_link.publication.send_many([bytes(500)] * 50, timeout=None)

    threads = Threads(*[send] * 4)
    time.sleep(0.2)
    slow_link.publication.close()
    assert [type(each) for each in threads.join()] == [libmctx.ClosedError] * 4
    assert count_descriptors() == before - 1


def test_a_reference_count_is_kept_by_failing_sends(publication: libmctx.Publication) -> None:
    payload = bytes(70_000)
    before = sys.getrefcount(payload)
    for _ in range(100):
        with pytest.raises(OSError, match="large"):
            publication.send(payload)
        with pytest.raises(TypeError):
            publication.send_many([payload, None])  # type: ignore[list-item]
    gc.collect()
    assert sys.getrefcount(payload) == before
