"""What is in force, kept for other processes and for plans that are made elsewhere."""

from datetime import UTC, datetime

import pytest

from reconciler.core.actions import Pass
from reconciler.core.digests import machine_digest
from reconciler.core.secret import SecretValue
from reconciler.core.types import Revision, Trigger
from reconciler.loop.applied import SHELF, KeptState, StateReporter, applied_state
from reconciler.loop.desired import Accepted, Desired
from reconciler.loop.packages import PackageChecks
from reconciler.loop.servers import Resolver
from reconciler.loop.setup import PassSettings
from reconciler.loop.store import open_store
from reconciler.sources.manifests import read_manifests
from reconciler.sources.sealed import sealed_secrets

CANARY = "canary-77aa"
FILES = {
    "catwalk.yaml": b"apiVersion: catwalk.dev/v1\nfleet: acme\nservers:\n  weather:\n    package: npm:weather@1.0.0\n"
    b"    secrets:\n      API_KEY:\n",
    "secrets/weather/API_KEY.sops.yaml": b"value: ENC[AES256_GCM,data:one]\n",
}
SETTINGS = PassSettings(runner_image="registry.fly.io/catwalk-runner:0.1.0", digest_key=b"k" * 32)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Opened:
    async def read(self, spec, _files):
        return {name: SecretValue(CANARY) for name in spec.secret_names}


class EveryPackage:
    async def check(self, _reference, *, entrypoint=""):
        del entrypoint


@pytest.fixture
async def desired(world) -> Desired:
    revision = Revision(commit="b" * 40, branch="main", source="https://github.com/acme/fleet")
    accepted = Accepted(revision=revision, manifests=read_manifests(FILES), files=FILES)
    resolver = Resolver(Opened(), PackageChecks(EveryPackage(), world.clock), SETTINGS)
    return Desired(accepted=accepted, servers=await resolver.resolve_all(accepted))


async def test_the_state_is_enough_to_make_the_same_digests_without_the_key(desired):
    state = applied_state(desired, sealed_secrets, SETTINGS.digest_key)
    assert state is not None
    server = state.servers[0]
    digests = {secret.name: secret.digest for secret in server.secrets}
    assert [machine.digest for machine in server.machines] == [
        machine_digest(machine.config, machine.region, digests) for machine in server.machines
    ]
    spec = desired.specs[0]
    assert {secret.name: secret.sealed for secret in server.secrets} == sealed_secrets(spec, FILES)
    assert CANARY not in repr(state)


def test_nothing_is_in_force_without_a_revision():
    assert applied_state(None, sealed_secrets, b"k") is None
    assert applied_state(Desired(accepted=None), sealed_secrets, b"k") is None


async def test_the_state_is_kept_before_the_pass_is_told(desired, tmp_path, world):
    store = await open_store(tmp_path, world.clock)
    kept, told = KeptState(store.shelf(SHELF)), []
    state = applied_state(desired, sealed_secrets, SETTINGS.digest_key)

    class Reporter:
        async def begin(self, _begun):
            """Nothing is kept before it is in force."""

        async def report(self, _finished):
            told.append(await KeptState(store.shelf(SHELF)).read())

    assert await kept.read() is None
    finished = Pass(number=1, trigger=Trigger.START, started_at=NOW, finished_at=NOW)
    for _ in range(2):
        await StateReporter(Reporter(), kept, lambda: state).report(finished)
    assert told == [state, state]
    store.close()
