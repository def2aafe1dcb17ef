"""Write docs/settings.md and docs/exit-codes.md from the source; with ``--check``, fail where they differ from it."""
# ruff: noqa: INP001  a script, not a package

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from sage_migrate import cli, errors
from sage_migrate.errors import GateError
from sage_migrate.fleet.options import FLEET_OPTIONS
from sage_migrate.settings import OPTIONS, Option

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
PACKAGE = Path(errors.__file__).parent
HOOK_ENVIRONMENT = REPOSITORY / "charts/migration-gate/templates/hook/_env.tpl"

_MADE = "<!-- Made by docs/generate.py (`make docs`) from {source}: change it there. -->\n\n"

SETTINGS = """# Settings

Command line over environment over `[tool.sage-migrate]` in the `pyproject.toml` beside `alembic.ini`, over the default.
In that file an option has the name that it has on the command line, without the dashes in front.

A duration is a number and a unit, as PostgreSQL writes it: `250ms`, `1s`, `5min`, `1h`. A bare number, zero and a
negative one are refused: no limit can be switched off by mistake. The limits must fit into each other
(`lock-timeout` < `stall-budget` < `statement-timeout` < `deadline`, and `wait-timeout` < `deadline`), or the run ends
with status 2 before it connects. Where `deadline` alone is given and is short, `statement-timeout` and `wait-timeout`
shrink to three quarters of it.

{options}

The charts' values have the names of the fourth column; in a parent chart they stand below the dependency's alias, as in
`migration.deadline`. What has no value of its own goes into `extraEnv` or `extraArgs`.

## Which database

The first of these that is there:

| variable | what |
|---|---|
| `SAGE_MIGRATE_DATABASE_URL` | the URL for migrations, where the application's own leads to a pooler or has too few rights |
| `DATABASE_URL` | the application's URL |
| `DATABASE_URL_FILE` | a file that holds it, such as a mounted secret |
| `PGHOST`, `PGDATABASE` or `PGSERVICE`, with the rest of libpq's `PG*` | the parts |

With none of them the runner connects as env.py's own engine does. How URLs are read: [guide](guide.md#the-database).

## Commands

`sage-migrate [OPTIONS] COMMAND`. Before the command: {globals}.

{commands}

The options of the first table follow the command, any of them. Exit statuses: [exit-codes.md](exit-codes.md).

## Fleets

`sage-migrate fleet upgrade [REVISION]` and `sage-migrate fleet status` take these too; in `pyproject.toml` they stand in
`[tool.sage-migrate.fleet]`. What they are for: [fleet.md](fleet.md).

{fleet}
"""

EXIT_CODES = """# Exit statuses

Each class of failure has a status of its own, and no status is ever given to another class. The last line of the log
(event `failed`) and the pod's termination message carry the same number.

{statuses}

*Again unchanged?* says whether the same command can succeed without anybody changing anything. What to do at length, and
what was left behind: [operations.md](operations.md).
"""


def settings_page() -> str:
    """Return docs/settings.md."""
    in_chart = chart_values()
    options, fleet = (
        _table(
            ("option", "variable", "default", "chart value", "what it is for"),
            (
                (f"`--{o.name}`", f"`{o.variable}`", _default(o), _code(in_chart.get(o.variable)), _what(o))
                for o in table
            ),
        )
        for table in (OPTIONS, FLEET_OPTIONS)
    )
    parser = cli._parser((*cli.REVIEW_TIME, "fleet"))  # noqa: SLF001  the one description of the command line
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    about = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}  # noqa: SLF001
    commands = _table(
        ("command", "what it does", "its own arguments"),
        ((f"`{name}`", about[name], _own_arguments(command)) for name, command in subparsers.choices.items()),
    )
    spelled = ", ".join(f"`{'`, `'.join(action.option_strings)}` ({action.help})" for action in _options(parser))
    made = _MADE.format(source="settings.OPTIONS, cli and the chart's environment")
    return made + SETTINGS.format(options=options, fleet=fleet, commands=commands, globals=spelled)


def exit_codes_page() -> str:
    """Return docs/exit-codes.md."""
    advice = operations()
    rows = [("0", "done, or nothing to do; `status`: at head, or known ahead", "", "")]
    rows += [
        (
            str(error.exit_status),
            error.summary + ("" if error.__name__ in raised() else " (reserved: nothing raises it yet)"),
            "yes" if error.retryable else "no",
            advice[error.exit_status],
        )
        for error in declared()
    ]
    rows.append(("3", "`status`: revisions are pending", "", "Nothing is wrong: `sage-migrate upgrade` applies them."))
    rows.sort(key=lambda row: int(row[0]))
    table = _table(("status", "meaning", "again unchanged?", "what to do"), rows)
    return _MADE.format(source="errors.py and docs/operations.md") + EXIT_CODES.format(statuses=table)


def declared() -> list[type[GateError]]:
    """Return every class of failure, by its exit status."""
    return sorted([GateError, *GateError.__subclasses__()], key=lambda error: error.exit_status)


def raised() -> set[str]:
    """Return the names of the classes that the package uses outside of errors.py."""
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "errors.py")
    return {error.__name__ for error in declared() if re.search(rf"\b{error.__name__}\b", source)}


def operations() -> dict[int, str]:
    """Return the first sentence under each heading of docs/operations.md that begins with an exit status."""
    sections = re.findall(
        r"^### (\d+): [^\n]*\n\n(.*?)\n\n", (DOCS / "operations.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return {int(status): re.split(r"(?<=\.) ", " ".join(text.split()), maxsplit=1)[0] for status, text in sections}


def chart_values() -> dict[str, str]:
    """Return which value of the chart sets each of the runner's variables."""
    found = re.findall(r"- name: (SAGE_MIGRATE_\w+)\n\s+value: \{\{(.*?)\}\}", HOOK_ENVIRONMENT.read_text())
    return {
        name: value[1] for name, expression in found if (value := re.search(r"\.([a-zA-Z]\w*(?:\.\w+)*)", expression))
    }


def _default(option: Option) -> str:
    return f"`{option.default}`" if option.default else ""


def _what(option: Option) -> str:
    choices = f"; one of {', '.join(f'`{choice}`' for choice in option.choices)}" if option.choices else ""
    return re.sub(r"'([^']+)'", r"`\1`", option.help) + choices


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _own_arguments(command: argparse.ArgumentParser) -> str:
    shared = {f"--{option.name}" for option in OPTIONS}
    own = [a for a in command._actions if a.dest != "help" and shared.isdisjoint(a.option_strings)]  # noqa: SLF001
    return "; ".join(f"`{(a.option_strings or [a.dest.upper()])[0]}`{f' ({a.help})' if a.help else ''}" for a in own)


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.option_strings and action.dest != "help")  # noqa: SLF001


def _table(head: tuple[str, ...], rows: object) -> str:
    assert isinstance(rows, (list, Iterator))
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main() -> int:
    """Write the pages, or tell which ones are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a page is out of date")
    check = parser.parse_args().check
    stale = []
    for name, text in (("settings.md", settings_page()), ("exit-codes.md", exit_codes_page())):
        page = DOCS / name
        if not page.exists() or page.read_text() != text:
            stale.append(name)
            if not check:
                page.write_text(text)
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; `make docs` writes them anew\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
