"""Which cookies go with which call."""

import httpx
import pytest

from reconciler.fly import affinity
from reconciler.fly.affinity import Affinity

BASE = "https://api.machines.dev"


@pytest.fixture
def cookies() -> Affinity:
    return Affinity()


def told(cookies: Affinity, *lines: str, path: str = "/v1/apps") -> None:
    request = httpx.Request("POST", BASE + path)
    cookies.keep(httpx.Response(200, headers=[("set-cookie", line) for line in lines], request=request))


def sent(cookies: Affinity, path: str) -> str:
    request = httpx.Request("GET", BASE + path)
    cookies.add_to(request)
    return str(request.headers.get("cookie", ""))


def test_each_of_a_thousand_apps_gets_its_own_cookie_back(cookies: Affinity) -> None:
    for number in range(1000):
        told(cookies, f"node=n{number}; Path=/v1/apps/acme-{number}")
    assert [sent(cookies, f"/v1/apps/acme-{number}/machines/m1") for number in (0, 7, 999)] == [
        "node=n0",
        "node=n7",
        "node=n999",
    ]
    assert sent(cookies, "/v1/apps/acme-1000") == ""


def test_the_newest_cookie_of_a_name_is_sent(cookies: Affinity) -> None:
    told(cookies, "node=old; Path=/v1/apps/acme-a")
    told(cookies, "node=new; Path=/v1/apps/acme-a")
    assert sent(cookies, "/v1/apps/acme-a") == "node=new"


def test_a_cookie_for_all_goes_with_every_call(cookies: Affinity) -> None:
    told(cookies, "all=1; Path=/", "node=n7; Path=/v1/apps/acme-a")
    assert sent(cookies, "/v1/orgs/acme/machines") == "all=1"
    assert set(sent(cookies, "/v1/apps/acme-a").split("; ")) == {"all=1", "node=n7"}


def test_a_cookie_that_has_ended_is_not_sent(cookies: Affinity) -> None:
    told(cookies, "node=n7; Path=/v1/apps/acme-a; Max-Age=0")
    assert sent(cookies, "/v1/apps/acme-a") == ""


def test_what_was_set_longest_ago_is_forgotten_beyond_the_limit(
    cookies: Affinity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affinity, "MOST_APPS", 2)
    for app in ("a", "b", "a", "c"):
        told(cookies, f"node={app}; Path=/v1/apps/acme-{app}")
    assert [sent(cookies, f"/v1/apps/acme-{app}") for app in "abc"] == ["node=a", "", "node=c"]
