"""Looks for inputs that a parser of the SOPS room does not stand, with atheris.

    python -m venv FOLDER && FOLDER/bin/pip install atheris
    PYTHONPATH=.:.venv/lib/python3.11/site-packages FOLDER/bin/python tests/fuzz/sops_fuzz.py TARGET SCRATCH \
        -max_total_time=600 -max_len=4096 -timeout=10 -rss_limit_mb=1024

atheris is no dependency of the project, because it has no wheels for every platform. SCRATCH is a folder that takes
what is found on the way; `--keep TARGET N SCRATCH` takes N files of all sizes from it for
`tests/data/fuzz/sops-TARGET.json`.
"""

import base64
import hashlib
import json
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
    """Takes `count` files of `scratch`, of all sizes, for the corpus of the target `name`."""
    found = sorted((path for path in scratch.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
    chosen = {found[number * len(found) // count].read_bytes() for number in range(count)}
    texts = sorted(base64.b64encode(content).decode("ascii") for content in chosen)
    CORPUS.mkdir(parents=True, exist_ok=True)
    (CORPUS / f"sops-{name}.json").write_text(json.dumps(texts, indent=0) + "\n", encoding="utf-8")


def kept(name: str) -> list[bytes]:
    """The corpus of a target."""
    texts = json.loads((CORPUS / f"sops-{name}.json").read_text(encoding="utf-8"))
    return [base64.b64decode(text) for text in texts]


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(sys.argv[1:])
