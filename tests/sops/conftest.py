"""Keys, the fixtures made by the Go tool, and the search for leaks that every error goes through."""

import base64
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest

from reconciler.sops.identities import Identities, load_identities

CANARY = "canary-9f3c5e71-plaintext"


def _load_writer():
    specification = importlib.util.spec_from_file_location("sops_writer", Path(__file__).with_name("writer.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules["sops_writer"] = module
    specification.loader.exec_module(module)
    return module


_WRITER = _load_writer()


@dataclass(frozen=True)
class Keys:
    """One age key made for a test run."""

    secret: str
    recipient: str

    @property
    def identities(self) -> Identities:
        return load_identities({"SOPS_AGE_KEY": self.secret})


def make_keys() -> Keys:
    identity = pyrage.x25519.Identity.generate()
    return Keys(secret=str(identity), recipient=str(identity.to_public()))


@pytest.fixture(scope="session")
def writer():
    return _WRITER


@pytest.fixture(scope="session")
def keys() -> Keys:
    return make_keys()


@pytest.fixture(scope="session")
def other_keys() -> Keys:
    return make_keys()


@pytest.fixture(scope="session")
def encrypt(keys: Keys) -> Callable[..., bytes]:
    """Encrypts YAML text to `keys`; further arguments are those of the writer's options."""

    def _encrypt(text: str, **options: object) -> bytes:
        options.setdefault("recipients", [keys.recipient])
        return _WRITER.encrypt_yaml(text, _WRITER.Options(**options)).encode()

    return _encrypt


def _everything_shown(error: BaseException) -> str:
    """All text that a log or a traceback could show of an error and of what it is chained to."""
    seen: list[str] = []
    chain: BaseException | None = error
    while chain is not None:
        seen += [str(chain), repr(chain), repr(getattr(chain, "problem", ""))]
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return "\n".join([*seen, *traceback.format_exception(error)])


def _assert_shows_nothing(error: BaseException, *secrets: str) -> None:
    shown = _everything_shown(error)
    for secret in (CANARY, *secrets):
        assert secret not in shown
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in shown
    assert "ENC[" not in shown
    assert "SECRET-KEY-1" not in shown


@pytest.fixture(scope="session")
def canary() -> str:
    """A plaintext that no error may show."""
    return CANARY


@pytest.fixture(scope="session")
def assert_shows_nothing() -> Callable[..., None]:
    """Fails when an error shows the canary, a further secret, a ciphertext or key text."""
    return _assert_shows_nothing


@dataclass(frozen=True)
class GoFixture:
    """One entry of the index of files made by the Go tool."""

    root: Path
    entry: dict

    @property
    def name(self) -> str:
        return self.entry["file"]

    @property
    def text(self) -> bytes:
        return (self.root / self.entry["file"]).read_bytes()

    def identities(self) -> Identities:
        files = [name for name in self.entry["keys"] if name.endswith(".txt") or "ssh" in name]
        loaded = [load_identities({"SOPS_AGE_KEY_FILE": str(self.root / "keys" / name)}) for name in files]
        return Identities(keys=tuple(key for each in loaded for key in each.keys))

    def expected(self) -> Iterator[tuple[int, tuple, str, bytes]]:
        documents = json.loads((self.root / self.entry["expected_leaves"]).read_text(encoding="utf-8"))
        for number, document in enumerate(documents):
            for leaf in document:
                content = base64.b64decode(leaf.get("bytes_b64") or "")
                yield number, tuple(leaf["path"]), leaf["type"], content


@pytest.fixture
def go_fixture(shared_data: Path) -> Callable[[str], GoFixture]:
    root = shared_data / "sops"
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    by_id = {entry["id"]: GoFixture(root=root, entry=entry) for entry in index["fixtures"]}
    return by_id.__getitem__
