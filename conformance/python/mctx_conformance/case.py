# SPDX-License-Identifier: MIT
"""Runs the steps of a case: fill in, call, compare, save, write down."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import libmctx
from mctx_conformance import peers
from mctx_conformance.fields import Fields, Variable
from mctx_conformance.objects import RefusedError, shown_error
from mctx_conformance.operations import Operations
from mctx_conformance.simulation import Simulation
from mctx_conformance.values import InvalidStepError, canonical, difference, integer, substitute

_BARRIER_SECONDS = 10.0
_JOIN_SECONDS = 50.0
_CHILD_SECONDS = 20


@dataclass
class Outcome:
    """How a case ended: where it failed, empty if it did not, and why."""

    step: int = 0
    where: str = ""
    because: str = ""
    transcript: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.where != ""


class _FailedError(Exception):
    def __init__(self, where: str, because: str) -> None:
        super().__init__(because)
        self.where = where
        self.because = because


def resources_held(simulation: Simulation | None) -> int:
    """Count the descriptors of this process, or what the library holds of the simulated network."""
    return simulation.held() if simulation is not None else len(os.listdir("/dev/fd"))


class _Strand:
    """A thread of a case: the main one, or one that a step started."""

    def __init__(self, run: _Run, steps: list[dict[str, Any]], name: str | None = None) -> None:
        self.run = run
        self.name = name
        self.outcome = Outcome()
        self._steps = steps
        self.thread: threading.Thread | None = None

    def go(self) -> None:
        """Run the steps until one fails."""
        for number, step in enumerate(self._steps, 1):
            self.outcome.step = number
            try:
                self._step(step)
            except InvalidStepError as error:
                self.outcome.where, self.outcome.because = "step", str(error)
            except _FailedError as error:
                self.outcome.where, self.outcome.because = error.where, error.because
            except Exception as error:
                self.outcome.where, self.outcome.because = "call", repr(error)
            if self.outcome.failed:
                return

    def _call(self, step: dict[str, Any], args: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        name = step["op"]
        flow = getattr(self, f"_do_{name}", None)
        operation = flow or self.run.operations.find(name)
        if operation is None:
            raise InvalidStepError(f"unknown operation {name}")
        try:
            return (flow(step, args) if flow else operation(args)), None
        except RefusedError as refused:
            return refused.result, refused.error
        except libmctx.MctxError as error:
            return {}, shown_error(error)

    def _step(self, step: dict[str, Any]) -> None:
        run = self.run
        with run.lock:
            args = substitute(step.get("args", {}), run.lookup)
            expected = substitute(step.get("expect"), run.lookup)
            expected_error = substitute(step.get("error"), run.lookup)
        result, error = self._call(step, args)
        if error is not None and expected_error is None:
            raise _FailedError("call", canonical(error))
        if error is None and expected_error is not None:
            raise _FailedError("error", "it succeeded")
        if error is not None:
            self._compare("error", expected_error, error)
        if expected is not None:
            self._compare("expect", expected, result)
        with run.lock:
            if error is None:
                run.save(step.get("save", {}), result)
            self._write(step, result, error)

    @staticmethod
    def _compare(part: str, expected: Any, actual: Any) -> None:
        where = difference(expected, actual, part)
        if where is not None:
            raise _FailedError(where, f"expected {canonical(expected)}, got {canonical(actual)}")

    def _write(self, step: dict[str, Any], result: dict[str, Any], error: dict[str, Any] | None) -> None:
        line = {"case": self.run.name, "step": self.outcome.step, "op": step["op"]}
        if self.name is not None:
            line["thread"] = self.name
        if error is not None:
            line["error"] = self.run.show(error, "error")
        line["result"] = self.run.show(result, "")
        self.outcome.transcript.append(canonical(line))

    # ---- threads, which meet at barriers alone, and forked children ----

    def _do_thread_start(self, step: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        name = args["thread"]
        if name in self.run.strands:
            raise InvalidStepError("no such thread can be started")
        strand = self.run.strands[name] = _Strand(self.run, step["steps"], name)
        strand.thread = threading.Thread(target=strand.go, daemon=True)
        strand.thread.start()
        return {}

    def _do_thread_join(self, step: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        strand = self.run.strands.get(args["thread"])
        if strand is None or strand.thread is None:
            raise InvalidStepError("no such thread is running")
        strand.thread.join(_JOIN_SECONDS)
        if strand.thread.is_alive():
            raise _FailedError("threads", f"thread {strand.name} hangs")
        strand.thread = None
        self.outcome.transcript += strand.outcome.transcript
        if strand.outcome.failed:
            where = f"{strand.name}.{strand.outcome.step}.{strand.outcome.where}"
            raise _FailedError(where, strand.outcome.because)
        return {}

    def _do_barrier(self, step: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        with self.run.lock:
            parties = integer(args.get("parties", 2))
            barrier = self.run.barriers.setdefault(args["barrier"], threading.Barrier(parties))
        try:
            barrier.wait(_BARRIER_SECONDS)
        except threading.BrokenBarrierError:
            raise InvalidStepError("nobody came to the barrier") from None
        return {}

    def _do_fork(self, step: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._be_child(step["steps"], writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        if not told:
            raise InvalidStepError("the child died")
        number, where, because, transcript = json.loads(told)
        self.outcome.transcript += transcript
        if where:
            raise _FailedError(f"child.{number}.{where}", because)
        return {}

    def _be_child(self, steps: list[dict[str, Any]], writing: int) -> NoReturn:
        """Run the steps and tell the parent how it went."""
        try:
            signal.alarm(_CHILD_SECONDS)  # faulthandler's watchdog is a thread, which the child has not
            strand = _Strand(self.run, steps, "child")
            strand.go()
            outcome = strand.outcome
            told = json.dumps([outcome.step, outcome.where, outcome.because, outcome.transcript])
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(told.encode())
        finally:
            os._exit(0)

    def _do_pause(self, step: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        """Give other threads time to get into a call. No case may depend on it."""
        time.sleep(integer(args["milliseconds"]) / 1000)
        return {}


class _Run:
    """A running case."""

    def __init__(self, name: str, fields: Fields, simulation: Simulation | None) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.strands: dict[str, _Strand] = {}
        self.barriers: dict[str, threading.Barrier] = {}
        self.peers = peers.Peers(simulation)
        self.operations = Operations(self.peers, simulation)
        self._fields = fields
        self._numbered: list[str] = []
        index = 1 if simulation is not None else peers.loopback_index()
        loopback = "lo" if simulation is not None else peers.loopback_name()
        self._variables = {"lo": Variable(loopback, "exact"), "lo_index": Variable(index, "index")}

    def lookup(self, name: str) -> Any:
        """Return the content of a variable."""
        if name not in self._variables:
            raise InvalidStepError(f"no variable {name}")
        return self._variables[name].content

    def save(self, wanted: dict[str, str], result: dict[str, Any]) -> None:
        """Save members of a result as variables."""
        for name, path in wanted.items():
            content: Any = result
            names = []
            for part in path.split("."):
                try:
                    content = content[int(part)] if isinstance(content, list) else content[part]
                except (KeyError, IndexError, TypeError):
                    raise _FailedError("save", f"no result {path}") from None
                if not part.isdigit():
                    names.append(part)
            field_class = self._fields.class_of(".".join(names))
            if field_class == "handle" and content not in self._numbered:
                self._numbered.append(content)
            self._variables[name] = Variable(content, field_class)

    def show(self, value: Any, path: str) -> Any:
        """Return a result as the transcript shows it."""
        return self._fields.show(value, path, self._numbered, self._variables)

    def finish(self, outcome: Outcome) -> None:
        """Join what runs and close what is open."""
        if outcome.failed:
            self.operations.close_all()
        for strand in self.strands.values():
            if strand.thread is not None:
                strand.thread.join(_JOIN_SECONDS)
                if not outcome.failed:
                    outcome.where, outcome.because = "threads", f"thread {strand.name} was not joined"
        self.operations.close_all()
        self.peers.close()


def run_case(name: str, definition: dict[str, Any], fields: Fields, simulation: Simulation | None) -> Outcome:
    """Run a case and close what it left open."""
    if simulation is not None:
        simulation.reset()
    before = resources_held(simulation)
    misuses = simulation.misuses() if simulation is not None else 0
    run = _Run(name, fields, simulation)
    strand = _Strand(run, definition["steps"])
    strand.go()
    run.finish(strand.outcome)
    after = resources_held(simulation)
    if after != before and not strand.outcome.failed:
        strand.outcome.where = "leak"
        strand.outcome.because = f"{before} descriptors before, {after} after"
    if simulation is not None and simulation.misuses() != misuses and not strand.outcome.failed:
        strand.outcome.where, strand.outcome.because = "leak", "what was not open was used"
    return strand.outcome
