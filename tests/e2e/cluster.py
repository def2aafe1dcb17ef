"""The cluster and the PostgreSQL server that the tests use, as the scripts in ci/ make them."""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

CI = Path(__file__).resolve().parents[2] / "ci"
CLONE_NEWNET = 0x40000000

Done = subprocess.CompletedProcess[str]


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


DATABASE_FOR_PODS = Address("postgres.database.svc", 5432)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running cluster: commands on it, images for it, and its database.

    `with Cluster.up() as cluster` leaves it as it found it: one that `ci/cluster.sh up` started, for quick work on
    the tests, stays.
    """

    environment: Mapping[str, str]
    """For every command: KUBECONFIG, and a PATH with kubectl, helm3 and helm4."""
    database: Address
    """PostgreSQL as the tests reach it; its superuser and the password are "postgres"."""
    found_up: bool
    own_network: int | None
    """The network namespace that the tests were started in, an open file, where they had to leave it."""

    @classmethod
    def up(cls) -> Self:
        """Start what is not running, and take this process to where nodes, pods and services can be reached.

        On the local node that is another network namespace. What connects and what starts from here on, in this
        thread or in later ones, is in it; only the loopback servers of the machine itself are out of reach.
        """
        found_up = _script("cluster.sh", "is-up", check=False).returncode == 0
        _script("cluster.sh", "up")
        _script("database.sh", "start")
        host, port = _script("database.sh", "where").stdout.split()
        settings = _script("cluster.sh", "environment").stdout.splitlines()
        own_network = None
        if network := _script("cluster.sh", "network").stdout.strip():
            own_network = os.open("/proc/self/ns/net", os.O_RDONLY)
            with Path(network).open("rb") as namespace:
                _enter_network(namespace.fileno())
        return cls(
            environment={**os.environ, **dict(setting.split("=", 1) for setting in settings)},
            database=Address(host, int(port)),
            found_up=found_up,
            own_network=own_network,
        )

    def __enter__(self) -> Self:
        """Return the cluster."""
        return self

    def __exit__(self, *_: object) -> None:
        """Go back to the tests' own network, and stop what `up` started; SAGE_E2E_KEEP=1 keeps it."""
        if self.own_network is not None:
            _enter_network(self.own_network)
            os.close(self.own_network)
        if not self.found_up and not os.environ.get("SAGE_E2E_KEEP"):
            _script("cluster.sh", "down")

    def run(self, *command: str | Path, check: bool = True, stdin: str = "", timeout_seconds: float = 300) -> Done:
        """Run a command to its end; both outputs are kept, apart."""
        return _run(command, check=check, stdin=stdin, timeout_seconds=timeout_seconds, environment=self.environment)

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start a command and let it run; both outputs are kept, apart."""
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.environment)

    def kubectl(self, *arguments: str, check: bool = True, stdin: str = "") -> str:
        """Return what kubectl prints."""
        return self.run("kubectl", *arguments, check=check, stdin=stdin).stdout

    def build_image(self, tag: str, context: Path, *arguments: str) -> None:
        """Build an image with the arguments of `docker build`, and load it into the cluster."""
        self.run_outside(CI / "images.sh", "build", "--tag", tag, *arguments, context)
        self.load_images(tag)

    def run_outside(self, *command: str | Path) -> str:
        """Run a command in the tests' own network, where a build finds the package indexes; return what it prints."""
        enter = () if self.own_network is None else ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.own_network}")
        return _run((*enter, *command)).stdout

    def load_images(self, *tags: str) -> None:
        """Take images from the local store to the cluster."""
        _script("cluster.sh", "load", *tags)

    def derive_image(self, tag: str, *, base: str, files: Mapping[str, str]) -> None:
        """Build and load `base` with text files added to its working directory: a release with other revisions."""
        with tempfile.TemporaryDirectory() as directory:
            context = Path(directory)
            for name, text in files.items():
                path = context / "files" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            (context / "Dockerfile").write_text(f"FROM {base}\nCOPY files/ ./\n")
            self.build_image(tag, context)

    def start_database(self) -> None:
        """Start PostgreSQL, if it does not run, and wait until it accepts connections."""
        _script("database.sh", "start")

    def stop_database(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop PostgreSQL; the data stays."""
        _script("database.sh", "stop", mode)

    def sql(self, statement: str) -> str:
        """Run SQL as the superuser in the database `postgres`; return psql's unaligned output."""
        return _script("database.sh", "sql", statement).stdout.strip()


def _run(
    command: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str = "",
    timeout_seconds: float = 1800,
    environment: Mapping[str, str] | None = None,
) -> Done:
    done = subprocess.run(
        command, check=False, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, env=environment
    )
    if check and done.returncode:
        # CalledProcessError says nothing of what the command printed.
        words = " ".join(map(str, command))
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def _script(name: str, *arguments: str, check: bool = True) -> Done:
    return _run((CI / name, *arguments), check=check)


def _enter_network(namespace: int) -> None:
    """Move the calling thread; os.setns comes with Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace of the cluster")
