"""What a live run needs, and that a case leaves nothing behind."""

import httpx
import pytest

from tests.contract.targets import live, opened


@pytest.mark.parametrize(
    ("given", "missing"),
    [({}, "FLY_API_TOKEN and FLY_ORG"), ({"FLY_ORG": "acme"}, "FLY_API_TOKEN"), ({"FLY_API_TOKEN": "x"}, "FLY_ORG")],
    ids=["nothing", "no token", "no organization"],
)
def test_a_live_run_that_cannot_be_is_skipped_with_what_it_lacks(given, missing):
    found = live({"CATWALK_FLY_LIVE": "1", **given})
    assert (found.wanted, found.place) == (True, None)
    assert found.why_not == f"CATWALK_FLY_LIVE=1 speaks to Fly and needs {missing} for it"


def test_a_token_in_the_environment_alone_starts_no_live_run():
    assert live({"FLY_API_TOKEN": "x", "FLY_ORG": "acme"}).wanted is False


def test_a_live_run_tells_its_token_to_nobody():
    found = live({"CATWALK_FLY_LIVE": "1", "FLY_API_TOKEN": "fm2_hidden", "FLY_ORG": "acme"})
    assert found.place is not None
    assert (found.place.live, found.place.organization) == (True, "acme")
    assert "fm2_hidden" not in repr(found)


class CaseFailed(Exception):
    """What a case ends with; its text is the app of the case."""


async def test_a_case_that_fails_leaves_none_of_its_apps_and_touches_no_other(common_engine, judge):
    async def failing_case(other: str) -> None:
        async with opened(common_engine, judge) as target:
            for name in (f"{target.app}-more", other):
                await target.post("/apps", {"name": name, "org_slug": common_engine.organization})
            raise CaseFailed(target.app)

    async with opened(common_engine, judge) as bystander:
        with pytest.raises(CaseFailed) as failed:
            await failing_case(bystander.app)
        listed = (await bystander.get("/apps", org_slug=common_engine.organization)).json()["apps"]
        names = {app["name"] for app in listed}
        assert bystander.app in names
        assert not any(name.startswith(str(failed.value)) for name in names)


async def test_an_app_whose_creation_went_wrong_is_deleted_all_the_same(common_engine, judge):
    async def lost(response: httpx.Response) -> None:
        await judge(response)
        if response.request.method == "POST":
            raise httpx.ReadError("the answer was lost")

    with pytest.raises(httpx.ReadError):
        async with opened(common_engine, lost):
            pytest.fail("the case began without its app")
    async with opened(common_engine, judge) as target:
        listed = (await target.get("/apps", org_slug=common_engine.organization)).json()["apps"]
        assert [app["name"] for app in listed] == [target.app]
