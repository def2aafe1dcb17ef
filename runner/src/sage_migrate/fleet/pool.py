"""The processes of a fleet: forked when they are needed, each given a task when it has none, replaced when one dies."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from sage_migrate.errors import GateError
from sage_migrate.fleet.results import Task
from sage_migrate.interruption import SIGNALS, signalled
from sage_migrate.logs import log

# Forking is what makes a process cheap: what the first one imported and read is there. No thread runs when it is done.
_PROCESSES = get_context("fork")
_END_SECONDS = 20


class _Member:
    """One process, its channel, and the task that it is at."""

    def __init__(self, serve: Callable[[Connection], None], others: list[Connection]) -> None:
        self.channel, theirs = _PROCESSES.Pipe()
        self.task: Task | None = None
        self.done = 0
        self.process = _PROCESSES.Process(target=_begin, args=(serve, theirs, [self.channel, *others]), daemon=True)
        self.process.start()
        theirs.close()
        assert self.process.pid is not None
        self.pid: int = self.process.pid


@dataclass(frozen=True, kw_only=True)
class Done:
    """A task that was done; the answer to one whose process died is a `GateError`."""

    task: Task
    answer: Any
    was_first: bool
    """Whether its process had done none before."""


class Pool:
    """Processes that do tasks, as many at a time as ``size``."""

    def __init__(self, size: int, serve: Callable[[Connection], None]) -> None:
        """Let each process call ``serve`` with its channel."""
        self.interruption: GateError | None = None
        """The signal that arrived; no task is begun any more."""
        self._renews = False
        self._size = size
        self._serve = serve
        self._members: list[_Member] = []
        self._signals, self._wakeup = socket.socketpair()

    def __enter__(self) -> Self:
        """Take SIGTERM and SIGINT: the first lets those at work stop what they do, a second one ends all at once."""
        self._signals.setblocking(False)  # noqa: FBT003  its only spelling
        self._wakeup.setblocking(False)  # noqa: FBT003  its only spelling
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let every process end."""
        for member in self._members:
            member.channel.close()
        for member in self._members:
            member.process.join(_END_SECONDS)
            member.process.kill()

    def call(self, task: Task) -> Any:
        """Do one task and return its answer.

        Raises:
            GateError: what it failed with.
        """
        (answer,) = [done.answer for done in self.run([task])] or [self.interruption]
        if isinstance(answer, GateError):
            raise answer
        return answer

    def run(self, tasks: Iterable[Task]) -> Iterator[Done]:
        """Do ``tasks``, of which the next is asked for when a process is free; yield each when it is done."""
        waiting = iter(tasks)
        is_over = False
        while True:
            while not is_over and (member := self._free_member()) is not None:
                task = None if self.interruption else next(waiting, None)
                if task is None:
                    is_over = True
                else:
                    member.task = task
                    with contextlib.suppress(OSError):  # it died: that shows below
                        member.channel.send(task)
            busy = {member.channel: member for member in self._members if member.task is not None}
            if not busy:
                return
            for ready in wait([*busy, self._signals]):
                if isinstance(ready, Connection):
                    yield self._take_answer(busy[ready])
                else:
                    self._take_signal()

    def renew_for_each_task(self) -> None:
        """Give each task to a new process from now on."""
        self._renews = True
        for member in [each for each in self._members if each.task is None]:
            self._let_go(member)

    def _let_go(self, member: _Member) -> None:
        self._members.remove(member)
        member.channel.close()
        member.process.join(_END_SECONDS)
        member.process.kill()

    def _free_member(self) -> _Member | None:
        """Return a process that has nothing to do, None where all are busy."""
        free = next((member for member in self._members if member.task is None), None)
        if free is None and len(self._members) < self._size:
            free = _Member(self._serve, [member.channel for member in self._members])
            self._members.append(free)
        return free

    def _take_answer(self, member: _Member) -> Done:
        task, member.task = member.task, None
        assert task is not None
        try:
            answer = member.channel.recv()
        except (EOFError, OSError):
            self._let_go(member)
            answer = GateError(
                f"The process that was at work ended by itself, with exit code {member.process.exitcode}.",
                remedy="Where the system ended it (-9), give it more memory or lower --concurrency; then run this again.",
            )
        else:
            if self._renews:
                self._let_go(member)
        member.done += 1
        return Done(task=task, answer=answer, was_first=member.done == 1)

    def _take_signal(self) -> None:
        for number in self._signals.recv(16):
            if number not in SIGNALS:
                continue
            if self.interruption is not None:
                for member in self._members:
                    member.process.kill()
                os._exit(128 + number)
            self.interruption = signalled(number)
            log.warning("stop_requested", error=type(self.interruption).__name__, reason=self.interruption.what)
            for member in self._members:
                if member.task is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(member.pid, number)


def _begin(serve: Callable[[Connection], None], channel: Connection, others: list[Connection]) -> None:
    for other in others:
        other.close()  # or its end would not be seen as long as this process lives
    serve(channel)
