"""Compare the gate with other migration tools, in one run on one machine: ``python -m bench.gate``.

Each tool meets each scenario on a database of its own, under the same live load. A full run writes the table
and the plot into docs/bench/; a part (``--only``) or a short form (``--quick``) is printed only.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sage_migrate.scratch_server import scratch_server

from bench.bounds import missed_bounds
from bench.circumstances import describe_circumstances
from bench.contenders import Contender, contenders
from bench.measurement import Measurement, measure, measure_at_rest, seed
from bench.scenarios import SEED, Scenario, scenarios
from bench.table import describe, render

RESULTS = Path(__file__).parent.parent / "docs" / "bench"


def main() -> int:
    """Run what was asked for; with ``--check`` the exit status is 1 when a bound was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="SCENARIO[/TOOL]", help="this part alone; may be repeated")
    parser.add_argument(
        "--quick", action="store_true", help="shorter readers and rewrites: to try the bench itself out"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 when the gate misses a bound")
    parser.add_argument("--runs", type=int, default=100, help="runs of the busy table (default: 100)")
    parser.add_argument("--bin-directory", type=Path, help="PostgreSQL's programs (default: the embedded wheel's)")
    arguments = parser.parse_args()
    if arguments.check and arguments.quick:
        parser.error("the bounds are for the full length")
    chosen = list(_choose(arguments.only, quick=arguments.quick, repeats=arguments.runs))
    if not chosen:
        parser.error("nothing is called that")
    measurements = []
    with scratch_server(arguments.bin_directory) as server:
        circumstances = describe_circumstances(server)
        seed(server, SEED)
        at_rest = measure_at_rest(server)
        for scenario, contender in chosen:
            measurements.append(measure(server, scenario, contender))
            print(describe(measurements[-1]), flush=True)
    results = render(measurements, at_rest, circumstances)
    print(f"\n{results}")
    missed = missed_bounds(measurements)
    print("\n".join(missed) or "The gate kept every bound.")
    if not arguments.only and not arguments.quick:
        _write(measurements, results)
    return 1 if missed and arguments.check else 0


def _choose(only: list[str] | None, *, quick: bool, repeats: int) -> Iterator[tuple[Scenario, Contender]]:
    for scenario in scenarios(quick=quick, repeats=repeats).values():
        for contender in contenders().values():
            if only is None or {scenario.name, f"{scenario.name}/{contender.name}"} & set(only):
                yield scenario, contender


def _write(measurements: list[Measurement], results: str) -> None:
    from bench.plot import draw

    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "results.md").write_text(results)
    draw(measurements, RESULTS / "stalls.svg")


if __name__ == "__main__":
    sys.exit(main())
