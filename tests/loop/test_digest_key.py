"""The key that secrets are compared with."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.errors import EnvironmentFault
from reconciler.loop.store import digest_key


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
