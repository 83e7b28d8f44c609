"""Files that Catwalk writes, opened by implementations that are not ours."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.core.secret import SecretValue
from reconciler.sops.rules import RuleKind
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.recipients import age_keys

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
YAML = b"""\
# A comment.
fleet: acme
secrets:
  TOKEN: "x: y # z"
  LINES: |
    one
    two
  "k:c": 'quoted'
  NUMBER: 5
  FLOAT: 1.5
  YES: true
  LIST: [a, {b: c}]
"""
EXPECTED = {
    "TOKEN": "changed",
    "LINES": "one\ntwo\n",
    "k:c": "quoted",
    "NUMBER": 5,
    "FLOAT": 1.5,
    "YES": True,
    "LIST": ["a", {"b": "c"}],
}


def _files(keys) -> dict[str, bytes]:
    """YAML and JSON that was created, edited and rotated."""
    inline = Encryption(
        keys=age_keys(keys.recipient), rule=(RuleKind.ENCRYPTED_REGEX, "^secrets$"), mac_only_encrypted=True
    )
    whole = Encryption(keys=age_keys(keys.recipient))
    as_json = json.dumps({"fleet": "acme", "secrets": {**EXPECTED, "TOKEN": "old"}}, indent=1).encode()
    made = {
        "inline.yaml": encrypt(YAML, inline, file="s.yaml", last_modified=NOW),
        "whole.yaml": encrypt(YAML, whole, file="s.yaml", last_modified=NOW),
        "whole.json": encrypt(as_json, whole, file="s.json", last_modified=NOW),
    }
    path = ("secrets", "TOKEN")
    edited = {
        name: open_to_edit(content, keys.identities, file=name).with_value(path, SecretValue("changed"))
        for name, content in made.items()
    }
    rotated = {f"rotated-{name}": each.rotated(age_keys(keys.recipient), LATER) for name, each in edited.items()}
    return {name: each.sealed(LATER) for name, each in {**edited, **rotated}.items()}


_READER = """\
import {decryptSops} from 'sops-age';
import {readFileSync} from 'node:fs';
const found = {};
for (const path of process.argv.slice(2)) {
  const text = readFileSync(path, 'utf8');
  const fileType = path.endsWith('.json') ? 'json' : 'yaml';
  found[path] = await decryptSops(text, {secretKey: process.env.SOPS_AGE_KEY, fileType});
}
console.log(JSON.stringify(found));
"""


@pytest.mark.registry
@pytest.mark.timeout(240)
def test_sops_age_for_node_opens_what_is_written(keys, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no npm and node on PATH")
    installed = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "sops-age@4.0.2"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=180,
    )
    if installed.returncode != 0:
        pytest.skip("sops-age cannot be installed here")
    (tmp_path / "read.mjs").write_text(_READER, encoding="utf-8")
    files = _files(keys)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    printed = subprocess.run(
        [node, "read.mjs", *files],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "SOPS_AGE_KEY": keys.secret},
    ).stdout
    found = json.loads(printed)
    assert found.keys() == files.keys()
    for document in found.values():
        assert document["secrets"] == EXPECTED
