"""The documented reading of a foreign lease, by a setting: `stop` and `destroy` are refused like every other change."""

from dataclasses import replace

import pytest

from reconciler.engine import ForeignLease


@pytest.mark.parametrize(
    ("method", "ending"), [("POST", "/stop"), ("DELETE", "?force=true"), ("POST", "/restart"), ("POST", "/suspend")]
)
async def test_a_foreign_lease_refuses_every_change_where_the_settings_say_so(open_bench, settings, method, ending):
    async with open_bench(replace(settings, foreign_lease=ForeignLease.REFUSES)) as bench:
        await bench.make_app()
        made = await bench.started()
        lease = (await bench.api.post(f"{bench.path(made)}/lease", json={"ttl": 3600})).json()["data"]
        refused = await bench.api.request(method, f"{bench.path(made)}{ending}")
        assert refused.status_code == 409
        assert "lease currently held by" in refused.json()["error"]
        nonce = {"fly-machine-lease-nonce": lease["nonce"]}
        assert (await bench.api.request(method, f"{bench.path(made)}{ending}", headers=nonce)).status_code == 200
