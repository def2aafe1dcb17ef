"""A process of the fleet: it does one task after the other, with all that was imported and read before it was forked."""

import ctypes
import gc
import os
import signal
import sys
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from sage_migrate.errors import GateError, met_bug
from sage_migrate.fast_path import fingerprint, heads_without_work
from sage_migrate.fleet.attempt import Attempt
from sage_migrate.fleet.drift import read_digest_of_database, read_objects
from sage_migrate.fleet.options import FleetSettings, tenant_settings
from sage_migrate.fleet.results import (
    CheckTenants,
    ReadTenants,
    SchemaTask,
    Task,
    TenantPosition,
    TenantResult,
    UpgradeTenant,
    is_of_schemas,
)
from sage_migrate.fleet.schema_run import SchemaRun
from sage_migrate.fleet.slots import Slots
from sage_migrate.fleet.tenants import Tenant, read_tenants, settings_of
from sage_migrate.gate import Gate
from sage_migrate.interruption import Interruption, watch_signals
from sage_migrate.project import Project
from sage_migrate.session import connect_by_url
from sage_migrate.settings import Settings
from sage_migrate.status import ask_status
from sage_migrate.upgrade import upgrade

if TYPE_CHECKING:
    from alembic.runtime.migration import RevisionStep
    from alembic.script.revision import RevisionMap

    from sage_migrate.lineage import Known

_PR_SET_PDEATHSIG = 1
# An idle process keeps neither a slot nor a lock that another may wait for.
_IDLE_SECONDS = 0.5
_LOOK_SECONDS = 5.0
_NO_DATABASE = "3D000"  # invalid_catalog_name


class Worker:
    """What one process knows, and the channel by which it is told what to do."""

    def __init__(
        self,
        channel: Connection,
        *,
        project: Project,
        settings: Settings,
        fleet: FleetSettings,
        target: str,
    ) -> None:
        """Answer on ``channel``."""
        self.project = project
        self.target = target
        self.shared_schemas = tuple(filter(None, fleet.shared_schemas.split(",")))
        self.env_is_proved = False
        """Whether a run of env.py has shown that it runs migrations once."""
        self.known: dict[str, Known] | None = None
        self.steps: dict[tuple[RevisionMap, tuple[str, ...]], list[RevisionStep]] = {}
        """What is pending after these heads, of a history as it was read."""
        self._channel = channel
        self._settings = settings
        self._fleet = fleet
        self._owes_answer = False
        self._interruption = Interruption()
        self._slots = Slots(settings, fleet)

    def serve(self) -> None:
        """Do tasks until the channel is closed."""
        os.setpgid(0, 0)  # a terminal's ^C is for the process that forked this one, which tells us
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.set_wakeup_fd(-1)
        gc.freeze()  # what was imported before the fork is no garbage, and stays shared
        watch_signals(self._interruption)
        with self._slots:
            task = self.receive()
            while task is not None:
                task = self._do(task)

    def receive(self) -> Task | None:
        """Return the next task; None when there is none any more."""
        try:
            task: Task | None = self._channel.recv()
        except (EOFError, OSError):
            return None
        self._owes_answer = True
        return task

    def answer(self, answer: Any) -> None:
        """Answer the task at hand."""
        self._channel.send(answer)
        self._owes_answer = False

    def begin(self, task: Task) -> Attempt:
        """Begin the tenant's run that ``task`` asks for."""
        if not isinstance(task, UpgradeTenant):
            return Attempt("", self._settings, self._interruption)
        limits = tenant_settings(self._settings, self._fleet, task.remaining_seconds)
        own = settings_of(task.tenant, limits)
        return Attempt(task.tenant.name, own, self._interruption)

    def has_task(self) -> bool:
        """Tell whether another task comes soon; the end of the channel counts as one."""
        return self._channel.poll(_IDLE_SECONDS)

    def _do(self, task: Task) -> Task | None:
        """Do ``task``, and those that follow where they go on in the same run of env.py; return the next one."""
        attempt = self.begin(task)
        seconds = task.remaining_seconds if isinstance(task, UpgradeTenant) else self._settings.deadline
        try:
            with self._slots.hold(attempt.settings, attempt.interruption, seconds):
                if is_of_schemas(task):
                    following, answer = self._run_schemas(task, attempt)
                elif isinstance(task, UpgradeTenant):
                    following, answer = None, self._upgrade(task.tenant, attempt)
                else:
                    following, answer = None, self._read(task, attempt)
        except Exception as error:  # noqa: BLE001  a bug fails one tenant, and says so
            following, answer = None, _failed(attempt, task, error)
        finally:
            attempt.end()
        if answer is not None and self._owes_answer:
            self.answer(answer)
        return following or self.receive()

    def _run_schemas(self, task: SchemaTask, attempt: Attempt) -> tuple[Task | None, object]:
        """Return the task that is to be done elsewhere, and the answer to one that failed."""
        with Gate(attempt.settings, attempt.interruption) as gate:
            run = SchemaRun(self, gate, task, attempt)
            try:
                run.run_tasks()
            except Exception as error:  # noqa: BLE001  as above
                if not self._owes_answer:  # env.py raised when all was done, and verified
                    traceback.print_exc()
                    return None, None
                return None, _failed(run.attempt, run.task, error, is_gone=run.schema_is_gone())
            finally:
                run.attempt.end()
        gc.collect()  # the engine, the module of env.py and what hundreds of tenants left: little is collected on the way
        return run.following, None

    def _upgrade(self, tenant: Tenant, attempt: Attempt) -> TenantResult:
        """Upgrade a tenant by a run of its own, in the project that was read once."""
        settings, report = attempt.settings, attempt.report
        self._take_arguments(settings)
        mark = fingerprint(settings) if settings.fast_path == "on" and self.target == "head" else None
        if heads := heads_without_work(settings, attempt.interruption, mark):
            report.before = heads
            return attempt.result()
        tenants = (tenant.name,) if tenant.kind == "argument" else None
        try:
            upgrade(settings, self.target, report, attempt.interruption, mark, self.project, tenants)
        except GateError as error:
            return attempt.failure(error, is_gone=self._is_gone(tenant, settings))
        return attempt.result(ahead=report.outcome == "database ahead")

    def _is_gone(self, tenant: Tenant, settings: Settings) -> bool:
        """Tell whether a database of the server's own list was dropped meanwhile."""
        if tenant.kind != "database":
            return False
        try:
            with Gate(replace(settings, deadline=_LOOK_SECONDS), Interruption()) as gate:
                gate.connect_session(connect_by_url(settings), "sage-migrate fleet")
        except GateError as error:
            return error.facts.get("sqlstate") == _NO_DATABASE
        return False

    def _read(self, task: Task, attempt: Attempt) -> object:
        if isinstance(task, ReadTenants):
            with Gate(attempt.settings, attempt.interruption) as gate:
                return read_tenants(gate, self._fleet, by_size=task.by_size)
        assert isinstance(task, CheckTenants)
        return [self._look_into(self._look(tenant, attempt), tenant, task, attempt) for tenant in task.tenants]

    def _look(self, tenant: Tenant, attempt: Attempt) -> TenantPosition:
        """Return where one tenant is, as `sage-migrate status` tells it."""
        settings = settings_of(tenant, attempt.settings)
        self._take_arguments(settings)
        try:
            status = ask_status(settings, self.project, attempt.interruption)
        except GateError as error:
            attempt.interruption.check()
            return TenantPosition(tenant=tenant.name, state="unreadable", reason=error.what)
        is_online = bool(status.pending) and status.pending == status.online
        return TenantPosition(
            tenant=tenant.name,
            state="online-pending" if is_online else status.state,
            current=status.current,
            pending=len(status.pending),
            reason=status.reason,
        )

    def _look_into(
        self, position: TenantPosition, tenant: Tenant, task: CheckTenants, attempt: Attempt
    ) -> TenantPosition:
        """Return the position with what the task asks for of the schemas of a tenant that is a database."""
        if task.reads == "position" or tenant.kind != "database" or position.state == "unreadable":
            return position
        settings = settings_of(tenant, attempt.settings)
        with Gate(settings, attempt.interruption) as gate:
            session = gate.connect_session(connect_by_url(settings), "sage-migrate status")
            if task.reads == "digest":
                return replace(position, digest=gate.call(read_digest_of_database(session)))
            return replace(position, objects=gate.call(read_objects(session, None)))

    def _take_arguments(self, settings: Settings) -> None:
        """Let env.py find the arguments of this tenant."""
        options = self.project.config.cmd_opts
        assert options is not None
        options.x = list(settings.x_arguments) or None


def _failed(attempt: Attempt, task: Task, error: Exception, *, is_gone: bool = False) -> object:
    if not isinstance(error, GateError):
        traceback.print_exc()
        error = met_bug(error)
    return attempt.failure(error, is_gone=is_gone) if isinstance(task, UpgradeTenant) else error
