"""The whole enumeration by command: `python -m tests.crash [--store postgresql] [--every N] [--workers N]`."""

import argparse
import sys
import time

from tests.crash.databases import postgresql
from tests.crash.workers import Order, explore, sqlite

STORES = {"sqlite": sqlite, "postgresql": postgresql}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--every", type=int, default=1, help="one point in so many; 1 is all of them")
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()
    began_s = time.monotonic()
    report = explore(Order(workers=wanted.workers, every=wanted.every, databases=STORES[wanted.store]))
    for failure in report.failures:
        print(f"{failure.step} | {failure.point} | {failure.complaint}")
    print(f"{wanted.store}: {report}, {time.monotonic() - began_s:.0f} s")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
