"""Answers against the official OpenAPI document and the table of deviations, which tests/contract/openapi.py holds."""

import pytest


async def test_every_documented_answer_fits_the_official_document(bench, document):
    if document is None:
        pytest.skip("the OpenAPI document (../shared/data/machines-openapi.json) is not here")
    document.judged.clear()
    made = await bench.started()
    path = bench.path(made)
    await bench.api.post("/apps/acme-time/secrets", json={"values": {"A": "1"}})
    await bench.api.post("/apps/acme-time/secrets/B", json={"value": "2"})
    await bench.api.post("/apps/acme-time/ip_assignments", json={"type": "private_v6"})
    await bench.api.post(f"{path}/metadata/k", json={"value": "v"})
    await bench.api.post(f"{path}/lease", json={"ttl": 1})
    for read in (
        "/apps?org_slug=personal",
        "/apps/acme-time",
        "/apps/acme-time/machines",
        "/apps/acme-time/machines?summary=true",
        "/apps/acme-time/secrets",
        "/apps/acme-time/secrets/A",
        "/apps/acme-time/ip_assignments",
        "/orgs/personal/machines",
        "/platform/regions",
        "/tokens/current",
        path,
        f"{path}/wait",
        f"{path}/events",
        f"{path}/versions",
        f"{path}/metadata",
        f"{path}/metadata/k",
        f"{path}/lease",
    ):
        assert (await bench.api.get(read)).status_code == 200, read
    await bench.api.delete("/apps/acme-time/secrets/A")
    await bench.api.post(path, json={"config": made["config"], "current_version": "other"})
    assert len(document.judged) >= 20, sorted(document.judged)
