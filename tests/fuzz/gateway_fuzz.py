"""Looks for inputs that a reader of the gateway or the adapter does not stand, with atheris: see `README.md`."""

import hashlib
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    import atheris  # noqa: PLC0415 - Only this program needs it; it is no dependency of the project.

    with atheris.instrument_imports(include=["gateway"]):
        from tests.fuzz.gateway_targets import TARGETS, seeds  # noqa: PLC0415 - Instrumented while it is imported.
    name, scratch, *options = arguments
    folder = Path(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds()[name]:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup([sys.argv[0], str(folder), *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
