"""The key that secrets are compared with."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.loop.store import digest_key, open_store
from reconciler.loop.store.digest_key import CLAIM, SameKey, given_key


def test_a_key_is_made_once_and_stays(tmp_path):
    key = digest_key(tmp_path / "state")
    assert len(key) == 32
    assert digest_key(tmp_path / "state") == key
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["digest.key"]
    assert stat.S_IMODE((tmp_path / "state" / "digest.key").stat().st_mode) == 0o600


def test_two_states_have_two_keys(tmp_path):
    assert digest_key(tmp_path / "one") != digest_key(tmp_path / "two")


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: digest_key(tmp_path), range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["digest.key"]


def test_a_damaged_key_is_refused_with_what_its_loss_costs(tmp_path):
    (tmp_path / "digest.key").write_bytes(b"short")
    with pytest.raises(EnvironmentFault, match="updated once"):
        digest_key(tmp_path)


def test_a_state_directory_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "state").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="cannot be used"):
        digest_key(tmp_path / "state")


ONE, OTHER = b"1" * 32, b"2" * 32


@pytest.fixture
async def store(database_url, tmp_path, world):
    made = await open_store(tmp_path, world.clock, url=database_url)
    yield made
    made.close()


async def test_the_first_key_is_put_in_use_and_only_its_owners_may_act(store):
    first, second = SameKey(store, ONE), SameKey(store, OTHER)
    await first.agree(acts=True)
    await store.leases.acquire("catwalk serve on a", lease_s=60)
    await SameKey(store, ONE).agree(acts=True)
    with pytest.raises(EnvironmentFault, match="another key"):
        await second.agree(acts=True)
    with pytest.raises(EnvironmentFault, match="another key"):
        await second.check()
    assert await first.check() is None


async def test_a_key_that_was_lost_is_replaced_while_nobody_leads(store):
    await SameKey(store, ONE).agree(acts=True)
    await SameKey(store, OTHER).agree(acts=False)
    assert await SameKey(store, ONE).check() is None, "who only looks changes nothing"
    await SameKey(store, OTHER).agree(acts=True)
    assert await SameKey(store, OTHER).check() is None
    with pytest.raises(EnvironmentFault, match="another key"):
        await SameKey(store, ONE).check()


async def test_the_database_holds_nothing_of_the_key(store):
    await SameKey(store, ONE).agree(acts=True)
    assert ONE.hex() not in await store.claimed(CLAIM)
    assert len(await store.claimed(CLAIM)) == 32


@pytest.mark.parametrize("text", [ONE.hex(), base64.b64encode(ONE).decode(), f" {ONE.hex().upper()}\n"])
def test_a_given_key_is_hexadecimal_or_base64(text):
    assert given_key(SecretValue(text)) == ONE


@pytest.mark.parametrize("text", ["", "short", ONE.hex()[:-2], "zz" * 32, base64.b64encode(ONE[:-1]).decode()])
def test_what_is_no_key_is_refused_and_not_shown(text):
    with pytest.raises(EnvironmentFault, match="CATWALK_DIGEST_KEY") as refused:
        given_key(SecretValue(text))
    assert not text or text not in str(refused.value)
