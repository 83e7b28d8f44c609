"""Runs by command.

python -m tests.simulation --seeds 0-9999 --jobs 2   many runs, one line for each seed that violates something
python -m tests.simulation --seed 1234 --trace       one run, with all that happens in it
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import structlog

from tests.simulation.run import Result, silence, simulate

HASH_SEED: Final = "PYTHONHASHSEED"
"""The order of a set of texts follows from it; without it a seed would not say everything."""
CHUNK: Final = 5
PROGRESS: Final = 100


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0-99", help="FIRST-LAST")
    parser.add_argument("--seed", type=int, help="one alone")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="tell all that happens")
    wanted = parser.parse_args()
    if os.environ.get(HASH_SEED) != "0":
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], {**os.environ, HASH_SEED: "0"}
        )
    if wanted.seed is not None:
        return _report([one(wanted.seed, trace=wanted.trace)])
    first, _, last = wanted.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began_s = time.monotonic()
    with ProcessPoolExecutor(wanted.jobs) as jobs:
        code = _report(jobs.map(one, seeds, chunksize=min(CHUNK, max(1, len(seeds) // wanted.jobs))))
        jobs.shutdown(wait=False, cancel_futures=True)
    print(f"{time.monotonic() - began_s:.0f} s")
    return code


def one(seed: int, *, trace: bool = False) -> Result:
    """One run; a run that breaks off is a violation like any other."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return simulate(seed, print if trace else silence)
    except Exception as error:
        if trace:
            raise
        words = f"broke off: {type(error).__name__}: {error}"
        return Result(seed=seed, violations=(words,), passes=0, kills=0, faults=0, simulated_s=0)


def _until_told(results: Iterable[Result]) -> Iterator[Result]:
    """The results, until somebody ends the program: what was done until then counts."""
    try:
        yield from results
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)


def _report(results: Iterable[Result]) -> int:
    runs, violated, passes, kills, faults, simulated_s = 0, 0, 0, 0, 0, 0.0
    for result in _until_told(results):
        runs, passes, kills = runs + 1, passes + result.passes, kills + result.kills
        faults, simulated_s = faults + result.faults, simulated_s + result.simulated_s
        if runs % PROGRESS == 0:
            print(f"{runs} schedules, {violated} violated", file=sys.stderr, flush=True)
        if result.violations:
            violated += 1
            print(f"seed {result.seed}: {' | '.join(result.violations)[:600]}", flush=True)
    print(
        f"schedules: {runs}, violated: {violated}, passes: {passes}, kills: {kills}, faults: {faults}, "
        f"simulated: {simulated_s / 3600:.0f} h"
    )
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
