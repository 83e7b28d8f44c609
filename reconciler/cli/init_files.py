"""The files of a new fleet: manifest, ignored files, editor settings, and the check of pull requests.

Each is written only where nothing stands, so that the command can be repeated and never loses what somebody wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from reconciler.sops.writing.disk import read_file, replace_file
from reconciler.sources.layout import MANIFEST_NAME
from schemas.v1.document import json_schema_text

SCHEMA_FILE: Final = ".vscode/catwalk.schema.json"
"""The schema of this version, so that editors need no network and complete what this version reads."""
WORKFLOW_FILE: Final = ".github/workflows/catwalk.yml"
_MANIFEST: Final = """\
# yaml-language-server: $schema={schema}
apiVersion: catwalk.dev/v1
fleet: {fleet}
{fly}defaults:
  scale: {{min: 0, max: 1, idle: suspend, idle_after: 5m}}
servers: {{}} # catwalk add NAME writes them
"""
_FLY: Final = """\
fly:
  organization: {organization}
  regions: [{region}]
"""
_EDITOR: Final = """\
{{
  "yaml.schemas": {{
    "./{schema}": ["catwalk.yaml", "catwalk.*.yaml"]
  }}
}}
"""
_EXTENSIONS: Final = """\
{
  "recommendations": ["redhat.vscode-yaml"]
}
"""
_WORKFLOW: Final = """\
# Says on every pull request what is wrong with a manifest, what it would change, and what that costs.
# The check reads data only: no secret of yours is in its reach, and nothing of the pull request is run.
name: catwalk
on:
  pull_request:
    paths: ["**/catwalk.yaml", "**/catwalk.*.yaml", "**/catwalk.lock", "**/secrets/**", "**/.sops.yaml"]
permissions:
  contents: read
jobs:
  validate:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          persist-credentials: false
      # Pin it to the commit of this release: git ls-remote https://github.com/catwalk-live/catwalk v{version}
      - uses: catwalk-live/catwalk/.github/actions/validate@v{version}
"""
_IGNORED: Final = (".catwalk/", ".env")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFleet:
    """What a person says about a new fleet."""

    fleet: str
    organization: str = ""
    region: str = ""
    has_workflow: bool = True


def new_files(fleet: NewFleet) -> Mapping[str, str]:
    """The files by path, without those that grow line by line."""
    fly = ""
    if fleet.organization or fleet.region:
        fly = _FLY.format(organization=fleet.organization or "personal", region=fleet.region or "iad")
    files = {
        MANIFEST_NAME: _MANIFEST.format(schema=SCHEMA_FILE, fleet=fleet.fleet, fly=fly),
        SCHEMA_FILE: json_schema_text(),
        ".vscode/settings.json": _EDITOR.format(schema=SCHEMA_FILE),
        ".vscode/extensions.json": _EXTENSIONS,
    }
    if fleet.has_workflow:
        files[WORKFLOW_FILE] = _WORKFLOW.replace("{version}", version("catwalk-live"))
    return files


def write_new(directory: Path, files: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Writes what is not there; gives what was written and what was left as it is."""
    written: list[str] = []
    kept: list[str] = []
    for name, text in files.items():
        path = directory / name
        if read_file(path) is not None:
            kept.append(str(path))
            continue
        replace_file(path, text.encode("utf-8"), lambda _: None, before=None)
        written.append(str(path))
    return written, kept


def ignore(directory: Path) -> list[str]:
    """Keeps state and local settings out of git; gives the file if it changed."""
    path = directory / ".gitignore"
    before = read_file(path)
    lines = (before or b"").decode("utf-8").splitlines()
    missing = [line for line in _IGNORED if line not in lines and line.rstrip("/") not in lines]
    if not missing:
        return []
    text = "\n".join([*lines, *missing]) + "\n"
    replace_file(path, text.encode("utf-8"), lambda _: None, before=before)
    return [str(path)]
