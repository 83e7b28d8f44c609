"""Writes the published JSON Schemas, or checks that the committed ones are fresh: `python -m schemas [--check]`."""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

from schemas.v1.document import json_schema_text

SCHEMA_FILE = Path(__file__).parent / "v1" / "catwalk.schema.json"


def is_fresh() -> bool:
    """Whether the committed file is what the models say."""
    return SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text(encoding="utf-8") == json_schema_text()


def refuse_invalid() -> None:
    """A schema that is no schema is never published.

    Raises:
        SchemaError: what the models say is not JSON Schema 2020-12.
    """
    Draft202012Validator.check_schema(json.loads(json_schema_text()))


def main(arguments: list[str]) -> int:
    """Exit code 0 when the file is fresh or was written, 1 when `--check` finds it stale, 2 for unknown arguments."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m schemas [--check]\n")
        return 2
    refuse_invalid()
    if not arguments:
        SCHEMA_FILE.write_text(json_schema_text(), encoding="utf-8")
    if is_fresh():
        return 0
    sys.stderr.write(f"{SCHEMA_FILE.name} is stale: run `python -m schemas` and commit the result\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
