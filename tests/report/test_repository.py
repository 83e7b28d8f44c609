"""Which repository a URL names, and what an error about it may tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import EnvironmentFault
from reconciler.report.repository import Repository, api_url, parse_repository


@pytest.mark.parametrize(
    ("url", "host", "full_name"),
    [
        ("https://github.com/acme/fleet", "github.com", "acme/fleet"),
        ("https://github.com/acme/fleet.git", "github.com", "acme/fleet"),
        ("https://github.com/acme/fleet/", "github.com", "acme/fleet"),
        ("https://x-access-token:ghs_secret@github.com/acme/fleet.git", "github.com", "acme/fleet"),
        ("https://www.github.com/acme/fleet", "github.com", "acme/fleet"),
        ("git@github.com:acme/fleet.git", "github.com", "acme/fleet"),
        ("git@GitHub.com:acme/.github", "github.com", "acme/.github"),
        ("ssh://git@github.com/acme/fleet.git", "github.com", "acme/fleet"),
        ("ssh://git@ssh.github.com:443/acme/fleet.git", "github.com", "acme/fleet"),
        ("https://ghe.example.com/acme/fleet.git", "ghe.example.com", "acme/fleet"),
        ("git@ghe.example.com:acme_corp/fleet.v2.git", "ghe.example.com", "acme_corp/fleet.v2"),
        ("https://acme.ghe.com/acme/fleet", "acme.ghe.com", "acme/fleet"),
    ],
)
def test_github_urls_name_their_repository(url, host, full_name):
    found = parse_repository(url)
    assert (found.host, found.full_name) == (host, full_name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/fleet",
        "./fleet",
        "../acme/fleet",
        "file:///srv/acme/fleet",
        "http://github.com/acme/fleet",
        "https://github.com/acme",
        "https://github.com/acme/fleet/tree/main",
        "https://github.com/../fleet",
        "https://github.com/acme/..",
        "https://[/acme/fleet",
        "git@github.com:acme",
    ],
)
def test_other_places_are_refused(url):
    with pytest.raises(EnvironmentFault):
        parse_repository(url)


def test_a_credential_in_a_url_reaches_no_error():
    with pytest.raises(EnvironmentFault) as fault:
        parse_repository("https://user:hunter2@github.com/acme")
    assert "hunter2" not in str(fault.value)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text):
    try:
        found = parse_repository(text)
    except EnvironmentFault:
        return
    assert "/" not in found.owner + found.name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("github.com", "https://api.github.com"),
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("ghe.example.com", "https://ghe.example.com/api/v3"),
    ],
)
def test_each_host_has_its_api(host, expected):
    assert api_url(Repository(host=host, owner="acme", name="fleet")) == expected
