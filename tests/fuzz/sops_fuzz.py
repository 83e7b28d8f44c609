"""Looks for inputs that a parser of the SOPS room does not stand, with atheris.

    python -m venv FOLDER && FOLDER/bin/pip install atheris
    PYTHONPATH=.:.venv/lib/python3.11/site-packages FOLDER/bin/python tests/fuzz/sops_fuzz.py TARGET SCRATCH \
        -max_total_time=600 -max_len=4096 -timeout=10 -rss_limit_mb=1024

atheris is no dependency of the project, because it has no wheels for every platform. SCRATCH is a folder that takes
what is found on the way; `--keep TARGET N SCRATCH` copies the N smallest of it to `tests/data/fuzz/sops-TARGET`.
"""

import hashlib
import sys
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "data" / "fuzz"


def main(arguments: list[str]) -> None:
    import atheris  # noqa: PLC0415 - Only this program needs it, and the tests import this module.

    with atheris.instrument_imports(include=["reconciler.sops", "yaml", "ruamel.yaml"]):
        from tests.fuzz.sops_targets import TARGETS, seeds  # noqa: PLC0415 - Instrumented while it is imported.
    name, scratch, *options = arguments
    folder = Path(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds()[name]:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup([sys.argv[0], str(folder), *options], TARGETS[name])
    atheris.Fuzz()


def keep(name: str, count: int, scratch: Path) -> None:
    """Copies the smallest `count` files of `scratch` to the corpus of the target `name`."""
    target = CORPUS / f"sops-{name}"
    target.mkdir(parents=True, exist_ok=True)
    found = sorted((path for path in scratch.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
    for path in found[:count]:
        content = path.read_bytes()
        (target / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(sys.argv[1:])
