"""Runs a program that says how many objects live in it: `python -m tests.bench.live_objects FILE MODULE ARGUMENTS`.

On SIGUSR2 the program collects garbage and writes to FILE how many objects of each kind are left. Its memories of what
it worked out before are made small, so that they are full at once and what grows after that is a leak.
"""

import gc
import importlib
import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path

MEMORIES = {
    "gateway.edge.plans": "_MAX_PLANS",
    "gateway.edge.writing": "_MAX_HEADS",
    "gateway.relay.known": "_MAX_HEADS",
    "gateway.reads": "_MAX_SHAPES",
}
SMALL = 8


def main() -> None:
    file, module, *arguments = sys.argv[1:]
    for name, bound in MEMORIES.items():
        memory = importlib.import_module(name)
        assert hasattr(memory, bound), f"{name} has no {bound}"
        setattr(memory, bound, SMALL)

    def count(*_: object) -> None:
        gc.collect()
        kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
        partial = Path(f"{file}.partial")
        partial.write_text(json.dumps(kinds), encoding="utf-8")
        partial.rename(file)

    signal.signal(signal.SIGUSR2, count)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
