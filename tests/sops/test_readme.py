"""The README of the room: its example runs, and its tables name what the code has."""

import re
from pathlib import Path

from reconciler.sops.document import is_encrypted
from reconciler.sops.rules import RuleKind
from reconciler.sops.yaml_reader import read_yaml

ROOM = Path(__file__).resolve().parents[2] / "reconciler" / "sops"
README = (ROOM / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_runs(encrypt, keys, writer):
    text = encrypt(
        "servers:\n  github:\n    secrets:\n      GITHUB_PERSONAL_ACCESS_TOKEN: tok\n",
        rule=(RuleKind.ENCRYPTED_REGEX, "^secrets$"),
        mac_only_encrypted=True,
    )
    dotenv = writer.encrypt_dotenv({"TOKEN": "tok"}, writer.Options(recipients=[keys.recipient])).encode()
    names = {"text": text, "dotenv": dotenv, "environment": {"SOPS_AGE_KEY": keys.secret}}
    for block in _blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["header"] == "Bearer tok"
    assert names["rows"] == [(0, ("TOKEN",), "str", b"tok")]
    assert names["lines"] == b"TOKEN=tok\n"


def test_the_yaml_examples_are_yaml():
    blocks = _blocks("yaml")
    assert len(blocks) == 3
    assert all(read_yaml(block, "README.yaml") and not is_encrypted(block.encode()) for block in blocks)


def test_every_code_of_an_error_is_explained():
    sources = [*ROOM.glob("*.py"), *ROOM.glob("services/*.py")]
    raised = set(re.findall(r'"(sops-[a-z-]+)"', "".join(path.read_text(encoding="utf-8") for path in sources)))
    explained = README.replace("`-key-service`", "`sops-unsupported-key-service`").replace(
        "`-rule`", "`sops-unsupported-rule`"
    )
    assert {code for code in raised if f"`{code}`" not in explained} == set()
    assert "sops-mac-mismatch" in raised
