"""A secret that went back in time is told once, and used."""

from datetime import UTC, datetime

import anyio
import pytest
from structlog.testing import capture_logs

from reconciler.core.secret import SecretValue
from reconciler.sops.file_ages import FileAges
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sops.writing.creation import Encryption
from reconciler.sops.writing.recipients import age_keys
from reconciler.sops.writing.secret_files import new_secret_file
from reconciler.sources.manifests import read_manifests

FILE = "secrets/github/TOKEN.sops.yaml"
MANIFEST = b"""\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  github:
    package: npm:@modelcontextprotocol/server-github@2025.4.8
    secrets: {TOKEN: null}
"""


def _secret(keys, value, hour):
    moment = datetime(2026, 11, 24, hour, tzinfo=UTC)
    encryption = Encryption(keys=age_keys(keys.recipient))
    return new_secret_file(SecretValue(value), "acme/github/TOKEN", encryption, file=FILE, last_modified=moment)


@pytest.fixture
def read(keys):
    secrets = ServerSecrets(keys.identities)
    (spec,) = read_manifests({"catwalk.yaml": MANIFEST}).specs

    def values(content):
        files = {"catwalk.yaml": MANIFEST, FILE: content}
        return anyio.run(secrets.read, spec, files)["TOKEN"].reveal()

    return values


def test_an_older_version_of_a_secret_is_told_once_and_used(keys, read):
    old, new = _secret(keys, "old", 10), _secret(keys, "new", 11)
    with capture_logs() as logged:
        assert [read(content) for content in (old, new, old, old)] == ["old", "new", "old", "old"]
    assert [(entry["event"], entry["file"]) for entry in logged] == [("secret_rolled_back", FILE)]
    assert "old" not in str(logged)


def test_a_newer_version_is_no_news(keys, read):
    with capture_logs() as logged:
        assert [read(_secret(keys, "x", hour)) for hour in (9, 10, 10, 11)] == ["x"] * 4
    assert logged == []


def test_times_are_compared_across_zones():
    ages = FileAges()
    assert not ages.note("a", "2026-11-24T12:00:00+02:00")
    assert not ages.note("a", "2026-11-24T10:00:00Z")
    with capture_logs():
        assert ages.note("a", "2026-11-24T11:00:00+02:00")
