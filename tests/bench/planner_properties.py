"""The promises of the planner in as many random fleets as there is patience for.

    python -m tests.bench.planner_properties --cases 100000 --processes 2

Every case is a fleet of up to four servers in any state, brought stage by stage to what is wanted of it while machines
crash, fall asleep and are refused, views are incomplete and passes are interrupted; `tests.core.cases` says what is
checked at each step. A case is its seed: a failing one is run again with `--first SEED --cases 1`.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from random import Random

from tests.core.cases import check_case, make_case

CHUNK = 1000
PROGRESS = 5000


@dataclass(slots=True)
class Result:
    cases: int = 0
    stages: Counter[int] = field(default_factory=Counter[int])
    """How many cases ended after how many stages."""
    failures: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    begun = time.perf_counter()
    found = Result()
    with ProcessPoolExecutor(options.processes) as pool:
        for part in pool.map(run, _chunks(options.first, options.cases)):
            found.cases += part.cases
            found.stages += part.stages
            found.failures += part.failures
            if found.cases % PROGRESS == 0:
                seconds = time.perf_counter() - begun
                print(
                    f"{found.cases:,} cases, {len(found.failures)} broken, {seconds:.0f} s", file=sys.stderr, flush=True
                )
    _report(found, time.perf_counter() - begun)
    return 1 if found.failures else 0


def run(seeds: range) -> Result:
    """The cases of some seeds, one after the other."""
    found = Result(cases=len(seeds))
    for seed in seeds:
        try:
            found.stages[check_case(make_case(Random(seed)))] += 1
        except Exception as error:  # noqa: BLE001  # Whatever a case raises is a finding to report with its seed.
            found.failures.append((seed, f"{type(error).__name__}: {error}"[:300]))
    return found


def _chunks(first: int, count: int) -> Iterator[range]:
    for begin in range(first, first + count, CHUNK):
        yield range(begin, min(begin + CHUNK, first + count))


def _report(found: Result, seconds: float) -> None:
    stages = sorted(found.stages.elements())
    print(f"{found.cases:,} cases in {seconds:.0f} s, {len(found.failures)} broken promises")
    if stages:
        median, high = stages[len(stages) // 2], stages[int(len(stages) * 0.99)]
        print(f"stages until nothing was left to do: median {median}, 99 % within {high}, at most {stages[-1]}")
    for seed, text in found.failures[:20]:
        print(f"seed {seed}: {text}")


if __name__ == "__main__":
    sys.exit(main())
