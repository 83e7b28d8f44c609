"""What happens to the fleet in a run: four commits, each with what must be true once it is applied.

One server has to be awake all the time and holds a secret, one has to be awake with two machines, one may sleep. So the
changes are carried out in every way that there is: made, replaced beside the old machine, updated in place, removed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pygit2
import pyrage

from reconciler.sops.rules import RuleKind
from tests.sops.writer import Options, encrypt_yaml

HEAD: Final = """\
apiVersion: catwalk.dev/v1
fleet: acme
fly: {organization: acme-org}
servers:
"""
TIME: Final = """\
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone={zone}]
    scale: {{min: 1}}
    secrets:
      API_TOKEN: {token}
"""
MEMORY: Final = """\
  memory:
    package: npm:@modelcontextprotocol/server-memory@2026.8.31
    env:
      MEMORY_FILE_PATH: {file}
"""
WIKI: Final = """\
  wiki:
    package: pypi:wikipedia-mcp@2.0.1
    scale: {min: 2, max: 2}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit and what it comes to."""

    name: str
    manifest: str
    machines: dict[str, int]
    """How many each app has in the end; an app that is not named is gone."""


def steps() -> tuple[Step, ...]:
    berlin = TIME.format(zone="Europe/Berlin", token="token-one")
    tokyo = TIME.format(zone="Asia/Tokyo", token="token-one")
    rotated = TIME.format(zone="Asia/Tokyo", token="token-two")
    first, second = MEMORY.format(file="one.jsonl"), MEMORY.format(file="two.jsonl")
    three = {"acme-time": 1, "acme-memory": 1, "acme-wiki": 2}
    two = {"acme-time": 1, "acme-memory": 1}
    return (
        Step(name="create three", manifest=HEAD + berlin + first + WIKI, machines=three),
        Step(name="change two", manifest=HEAD + tokyo + second + WIKI, machines=three),
        Step(name="remove one", manifest=HEAD + tokyo + second, machines=two),
        Step(name="rotate a secret", manifest=HEAD + rotated + second, machines=two),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeKey:
    secret: str
    recipient: str


def new_key() -> AgeKey:
    identity = pyrage.x25519.Identity.generate()
    return AgeKey(secret=str(identity), recipient=str(identity.to_public()))


class Upstream:
    """The repository that the fleet is followed from, with one commit for each step."""

    def __init__(self, directory: Path, key: AgeKey) -> None:
        self._repository = pygit2.init_repository(str(directory), bare=True, initial_head="main")
        self._key = key
        self.url = directory.as_uri()

    def commit(self, step: Step) -> str:
        """Encrypts the manifest of a step and commits it; the commit's id."""
        rule = (RuleKind.ENCRYPTED_REGEX, "^secrets$")
        options = Options(recipients=[self._key.recipient], rule=rule, mac_only_encrypted=True)
        text = encrypt_yaml(step.manifest, options)
        tree = self._repository.TreeBuilder()
        tree.insert("catwalk.yaml", self._repository.create_blob(text.encode()), pygit2.enums.FileMode.BLOB)
        author = pygit2.Signature("Test", "test@example.com", 1_800_000_000, 0)
        parents = [] if self._repository.head_is_unborn else [self._repository.head.target]
        made = self._repository.create_commit("refs/heads/main", author, author, step.name, tree.write(), parents)
        return str(made)
