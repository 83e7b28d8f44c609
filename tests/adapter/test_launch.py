"""What a server sees of the adapter's environment."""

import pytest

from gateway.adapter.launch import prepare_launch
from gateway.adapter.log import AdapterLog, Mask
from gateway.adapter.options import parse_options


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("DEMO_TOKEN", True),
        ("PIP_DISABLE_PIP_VERSION_CHECK", True),
        ("UV_INDEX_PRIVATE_PASSWORD", False),
        ("UV_DEFAULT_INDEX", False),
        ("PIP_EXTRA_INDEX_URL", False),
        ("npm_config_registry", False),
        ("NPM_CONFIG__AUTHTOKEN", False),
        ("PYTHONPATH", False),
    ],
)
async def test_a_server_sees_its_own_settings_and_no_credential_of_an_installer(
    name: str, *, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "value")
    launch = await prepare_launch(parse_options(["--exec", "--", "true"]), AdapterLog(Mask({})))
    assert (name in launch.environment) is seen
