"""Keys, the fixtures made by the Go tool, and the search for leaks that every error goes through."""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest

from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.services.configured import load_services
from reconciler.sops.services.port import DataKeyService

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


class KeyRing:
    """A GnuPG home of the tests' own, in a short path because gpg-agent puts its socket there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {"GNUPGHOME": str(home), "HOME": str(home), "PATH": os.environ["PATH"]}
        self._taken: set[bytes] = set()

    def gpg(self, *arguments: str, text: bytes = b"") -> bytes:
        command = ["gpg", "--batch", "--no-tty", "--yes", *arguments]
        return subprocess.run(
            command, input=text, env=self.environment, check=True, capture_output=True, timeout=30
        ).stdout

    def take(self, key: bytes) -> None:
        if shutil.which("gpg") is None:
            pytest.skip("gpg is not installed")
        if key not in self._taken:
            self.gpg("--import", text=key)
            self._taken.add(key)

    def make_key(self, name: str, passphrase: str = "") -> None:
        options = ("--pinentry-mode=loopback", f"--passphrase={passphrase}")
        self.gpg(*options, "--quick-generate-key", name, "future-default", "default", "never")

    def wrap(self, secret: bytes, *names: str) -> str:
        recipients = [f"--recipient={name}" for name in names]
        return self.gpg("--trust-model=always", "--armor", *recipients, "--encrypt", text=secret).decode()


@pytest.fixture(scope="session")
def new_key_ring() -> Iterator[Callable[[], KeyRing]]:
    """Makes key rings; their agents are ended with the tests."""
    made: list[KeyRing] = []

    def make() -> KeyRing:
        made.append(KeyRing(Path(tempfile.mkdtemp(prefix="cw-gpg-"))))
        return made[-1]

    yield make
    for ring in made:
        if shutil.which("gpgconf") is not None:
            subprocess.run(["gpgconf", "--kill", "all"], env=ring.environment, check=False, timeout=30)
        shutil.rmtree(ring.home, ignore_errors=True)


@pytest.fixture(scope="session")
def fixture_key_ring(new_key_ring) -> KeyRing:
    return new_key_ring()


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

    key_ring: "KeyRing | None" = None

    @property
    def format(self) -> Format:
        return Format(self.entry["format"])

    def identities(self) -> Identities:
        """The keys that the index names for this file; skipped where one is for gpg and there is none."""
        files = [name for name in self.entry["keys"] if name.endswith(".txt") or "ssh" in name]
        loaded = [load_identities({"SOPS_AGE_KEY_FILE": str(self.root / "keys" / name)}) for name in files]
        pgp = [name for name in self.entry["keys"] if name not in files]
        for name in pgp:
            self.key_ring.take((self.root / "keys" / name).read_bytes())
        services = load_services(self.key_ring.environment) if pgp else ()
        return Identities(keys=tuple(key for each in loaded for key in each.keys), services=services)

    @staticmethod
    def services_of(ring: "KeyRing") -> tuple[DataKeyService, ...]:
        return load_services(ring.environment)

    def expected(self) -> Iterator[tuple[int, tuple, str, bytes]]:
        documents = json.loads((self.root / self.entry["expected_leaves"]).read_text(encoding="utf-8"))
        for number, document in enumerate(documents):
            for leaf in document:
                content = base64.b64decode(leaf.get("bytes_b64") or "")
                yield number, tuple(leaf["path"]), leaf["type"], content


@pytest.fixture
def go_fixture(shared_data: Path, fixture_key_ring: KeyRing) -> Callable[[str], GoFixture]:
    root = shared_data / "sops"
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    by_id = {entry["id"]: GoFixture(root=root, entry=entry, key_ring=fixture_key_ring) for entry in index["fixtures"]}
    return by_id.__getitem__
