"""Use a service without a pause until SIGTERM, each request on a new connection; runs in a pod.

Prints a line when the first answer came, and at the end one that counts the requests and names all that failed.
"""

import http.client
import json
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

WORKERS = 4
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 10


@dataclass(kw_only=True)
class Account:
    """What one worker met."""

    requests: int = 0
    longest_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def ask(host: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send one request as a client that is new to the service, and return the answer."""
    connection = http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        raise ValueError(f"{response.status} {content.decode()}")
    return json.loads(content)


def work(host: str, things: str, stop: threading.Event) -> Account:
    """Write and read in turn."""
    account = Account()
    while not stop.wait(PAUSE_SECONDS):
        writes = account.requests % 2 == 0
        started = time.monotonic()
        try:
            if writes:
                ask(host, "POST", things, {"title": "under load"})
            else:
                ask(host, "GET", f"{things}?limit=5")
        except (OSError, ValueError, http.client.HTTPException) as error:
            at = datetime.now(UTC).time().isoformat("milliseconds")
            account.failures.append(f"{at} {'POST' if writes else 'GET'}: {type(error).__name__} {error}")
        account.requests += 1
        account.longest_seconds = max(account.longest_seconds, time.monotonic() - started)
    return account


def say(**event: Any) -> None:
    """Print an event as a line of JSON."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main(host: str, owners: str, things: str) -> None:
    """Start when the service answers, end at SIGTERM; what is posted first is the owner of all else."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    owner = None
    while owner is None and not stop.wait(0.2):
        try:
            owner = ask(host, "POST", owners, {"name": "load"})
        except (OSError, ValueError, http.client.HTTPException) as error:
            say(not_yet=str(error))
    if owner is None:
        return
    say(started=owner["id"])
    owned = things.format(id=owner["id"])
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = [pool.submit(work, host, owned, stop) for _ in range(WORKERS)]
    accounts = [worker.result() for worker in workers]
    total = Account(
        requests=sum(account.requests for account in accounts),
        longest_seconds=round(max(account.longest_seconds for account in accounts), 3),
        failures=sorted(failure for account in accounts for failure in account.failures),
    )
    say(ended=asdict(total))


if __name__ == "__main__":
    main(*sys.argv[1:])
