"""What tools are called at the common address."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.aggregate.names import LONGEST_NAME, Names, Prefix, Target

SERVERS = st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True)
TOOLS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_.-]{1,128}", fullmatch=True),
    st.text(max_size=100),
    st.sampled_from(["", "_", "__", "a__b", "x__abcdefgh", "__abcdefgh", "get" * 30]),
)


@given(SERVERS, TOOLS)
def test_a_name_is_legal_short_and_always_the_same(server, tool):
    exposed = Names((server,)).exposed(server, tool)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", exposed)
    assert exposed == Names((server, "zz-other")).exposed(server, tool)


@given(st.lists(SERVERS, min_size=1, max_size=6, unique=True), st.data())
def test_a_name_leads_back_to_its_server_and_a_certain_one_to_its_tool(servers, data):
    names = Names(tuple(sorted(servers)))
    server, tool = data.draw(st.sampled_from(servers)), data.draw(TOOLS)
    target = names.target(names.exposed(server, tool))
    assert target is not None
    assert target.server == server
    if target.is_certain:
        assert target.name == tool


@given(SERVERS, st.sets(TOOLS, min_size=2, max_size=20), st.data())
def test_two_tools_never_share_a_name(server, tools, data):
    other = data.draw(SERVERS)
    assume(other != server)
    names = Names(tuple(sorted((server, other))))
    exposed = [names.exposed(each, tool) for each in (server, other) for tool in tools]
    assert len(set(exposed)) == len(exposed)


@given(SERVERS, TOOLS)
def test_a_name_that_is_not_certain_can_only_be_a_shortened_one(server, tool):
    """So a tool that is called like a shortened name can never be reached in the place of another."""
    names = Names((server,))
    target = names.target(names.exposed(server, tool))
    assert target is not None
    assert target.is_certain == (target.name == tool)


@pytest.mark.parametrize(
    ("server", "tool", "exposed"),
    [
        ("time", "now", "time__now"),
        ("time", "_now", "time___now"),
        ("docs", "search.pages-v2", "docs__search.pages-v2"),
        ("notes", "grüße", "notes__gr__e__"),
        ("github", "x" * 56, "github__" + "x" * 56),
        ("github", "y" * 20 + "x" * 37, "github__" + "y" * 9 + "x" * 37 + "__"),
    ],
)
def test_names_by_example(server, tool, exposed):
    found = Names((server,)).exposed(server, tool)
    assert found == exposed or (found.startswith(exposed) and re.fullmatch(r"[a-z2-7]{8}", found[len(exposed) :]))
    assert len(found) <= LONGEST_NAME


@pytest.mark.parametrize("exposed", ["now", "time", "time__", "__now", "ghost__now", "Time__now", "", "time_now"])
def test_a_name_of_no_server_is_nobody_s(exposed):
    assert Names(("notes", "time")).target(exposed) is None


def test_names_stay_as_they_are_where_the_caller_has_one_server():
    names = Names(("time",), Prefix.UNLESS_ALONE)
    assert names.exposed("time", "now") == "now"
    assert names.target("time__now") == Target(server="time", name="time__now", is_certain=True)
    assert Names(("notes", "time"), Prefix.UNLESS_ALONE).exposed("time", "now") == "time__now"
