"""Where the plaintext of a secret goes: into the one call that sets it, and nowhere else."""

from reconciler.core.types import OutcomeKind
from tests.contract.evidence import source


@source("fly.md 4.4")
async def test_a_secret_is_in_no_request_but_the_one_that_sets_it_and_in_no_answer(stage):
    secret = stage.plaintext.encode()
    outcomes = [
        *await stage.converge(stage.server(secrets="digest")),
        *await stage.converge(stage.server("time", "--changed", secrets="digest")),
    ]
    observation = await stage.fleet.observe()
    outcomes += await stage.converge()
    assert all(outcome.kind is OutcomeKind.APPLIED for outcome in outcomes)
    carriers = [exchange for exchange in stage.wire.exchanges if secret in exchange.body]
    assert carriers
    assert all(exchange.sets_secrets for exchange in carriers)
    for exchange in stage.wire.exchanges:
        assert secret not in exchange.answer
        assert secret not in repr((exchange.path, exchange.headers)).encode()
    assert stage.plaintext not in repr(observation) + repr(outcomes)


@source("fly.md 4.4", "fly.md 13.13")
async def test_a_machine_boots_with_the_secret_that_was_set_before_it(stage):
    await stage.converge(stage.server(secrets="digest"))

    async def telling():
        return [line for line in await stage.logs.recent("acme-time", limit=50) if "token" in line.message]

    assert "token ********" in (await stage.eventually(telling))[0].message


@source("fly.md 4.4")
async def test_a_secret_that_is_not_declared_any_more_is_unset(stage):
    await stage.converge(stage.server(secrets="digest"))
    assert b"TOKEN" in (await stage.past_the_wire("GET", "/secrets")).content
    await stage.converge(stage.server("time", "--changed"))
    assert b"TOKEN" not in (await stage.past_the_wire("GET", "/secrets")).content


@source("fly.md 3")
async def test_the_token_goes_into_one_header_and_nowhere_else(stage):
    await stage.converge(stage.server())
    token = stage.engine.token
    for exchange in stage.wire.exchanges:
        assert exchange.headers["authorization"] == f"FlyV1 {token}"
        others = {name: value for name, value in exchange.headers.items() if name != "authorization"}
        assert token not in repr((exchange.path, others, exchange.body))
