"""Addresses at the git host, made of what a repository is called here."""

import pytest

from reconciler.web.hosts import commit_url, pull_url

COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("source", "home"),
    [
        ("https://github.com/acme/fleet", "https://github.com/acme/fleet"),
        ("https://github.com/acme/fleet.git", "https://github.com/acme/fleet"),
        ("https://git.acme.example:8443/team/sub/fleet.git/", "https://git.acme.example:8443/team/sub/fleet"),
        ("git@github.com:acme/fleet.git", "https://github.com/acme/fleet"),
        ("ssh://git@github.com:22/acme/fleet.git", "https://github.com/acme/fleet"),
        ("/home/me/fleet", ""),
        ("file:///home/me/fleet", ""),
        ("http://127.0.0.1:3000/acme/fleet", ""),
        ("https://user:secret@github.com/acme/fleet", ""),
        ("https://github.com/acme/fleet?x=<script>", "https://github.com/acme/fleet"),
        ("https://github.com/acme/<script>", ""),
        ("https://github.com", ""),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_a_commit_has_an_address_where_its_repository_is_at_a_host(source, home):
    assert commit_url(source, COMMIT) == (f"{home}/commit/{COMMIT}" if home else "")
    assert pull_url(source, 12) == (f"{home}/pull/12" if home else "")


def test_uncommitted_files_have_no_address_and_one_host_says_it_differently():
    assert commit_url("https://github.com/acme/fleet", "worktree:" + "a" * 40) == ""
    assert commit_url("https://bitbucket.org/acme/fleet", COMMIT).endswith(f"/commits/{COMMIT}")
