"""Records the logs of provoked failures, and tells how many of them are explained rightly.

python -m tests.failures record --cache FOLDER [--set seen|held-out] [NAME…]
python -m tests.failures judge
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.failures import judged
from tests.failures.provoked import Provoked
from tests.failures.recorder import StillRuns, record
from tests.failures.services import serving


def _record(wanted: Sequence[Provoked], cache: Path, at_once: int) -> bool:
    judged.LOGS.mkdir(exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    with serving() as services, ThreadPoolExecutor(at_once) as pool:
        return all(list(pool.map(lambda one: _kept(one, services, cache), wanted)))


def _kept(provoked: Provoked, services: dict[str, str], cache: Path) -> bool:
    try:
        lines = record(provoked, services, cache)
    except StillRuns as told:
        print(f"{provoked.name}: did not fail\n{told}\n", flush=True)
        return False
    judged.path_of(provoked).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{provoked.name}: {len(lines)} lines", flush=True)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record", "judge"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--set", choices=list(judged.SETS), help="one of the two sets")
    parser.add_argument("--cache", type=Path, help="where packages are kept")
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    wanted = [one for name, each in judged.SETS.items() if options.set in {None, name} for one in each]
    wanted = [one for one in wanted if not options.names or one.name in options.names]
    if options.what == "judge":
        print(judged.table(), *judged.wrong(wanted), sep="\n")
        return
    if options.cache is None:
        parser.error("recording takes --cache")
    missing = [one for one in wanted if options.names or not judged.path_of(one).exists()]
    sys.exit(0 if _record(missing, options.cache, options.at_once) else 1)


if __name__ == "__main__":
    main()
