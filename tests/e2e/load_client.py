"""Use a service all along until SIGTERM, each request on a new connection; runs in a pod.

Prints a line when the first answer came, and at the end one that counts the requests and names all that failed. What was
written and is then read otherwise is a failure too.
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
    """What one worker did, and what it met."""

    things: int = 0
    requests: int = 0
    longest_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def ask(self, host: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request after a pause, and return the answer; a failure is noted, and None."""
        time.sleep(PAUSE_SECONDS)
        started = time.monotonic()
        try:
            return ask(host, method, path, body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.fail(f"{method} {path}: {type(error).__name__} {error}")
            return None
        finally:
            self.requests += 1
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)

    def fail(self, what: str) -> None:
        """Note a failure, and when it was."""
        self.failures.append(f"{datetime.now(UTC).time().isoformat('milliseconds')} {what}")


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


def work(host: str, things: str, number: int, stop: threading.Event) -> Account:
    """Make a thing, list, change the thing and read it back, in turn; what was begun is done before the end."""
    account = Account()
    while not stop.is_set():
        title = f"load {number}-{account.things}"
        made = account.ask(host, "POST", things, {"title": title})
        account.ask(host, "GET", f"{things}?limit=5")
        if made is None:
            continue
        account.things += 1
        title += " changed"
        account.ask(host, "PATCH", f"{things}/{made['id']}", {"title": title})
        found = account.ask(host, "GET", f"{things}/{made['id']}")
        if found is not None and found["title"] != title:
            account.fail(f"GET {things}/{made['id']}: {found['title']!r} in place of {title!r}")
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
        workers = [pool.submit(work, host, owned, number, stop) for number in range(WORKERS)]
    accounts = [worker.result() for worker in workers]
    total = Account(
        things=sum(account.things for account in accounts),
        requests=sum(account.requests for account in accounts),
        longest_seconds=round(max(account.longest_seconds for account in accounts), 3),
        failures=sorted(failure for account in accounts for failure in account.failures),
    )
    say(ended=asdict(total))


if __name__ == "__main__":
    main(*sys.argv[1:])
