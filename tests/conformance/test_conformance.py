"""Nothing is lost on the way through gateway and adapter, scenario by scenario, against the same server run directly.

The suite gets no list of expected failures. What Catwalk does not carry yet stands in `not_yet.json`, by way, set and
scenario; a scenario that is lost and not listed fails the test, and so does one that is listed and no longer lost. So
the list can only shrink, and it says at any time what is missing.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.suite import SETS, Results, run_suite
from tests.conformance.ways import Way, way_to

NOT_YET: Mapping[str, Mapping[str, list[str]]] = json.loads(
    (Path(__file__).parent / "not_yet.json").read_text(encoding="utf-8")
)
THROUGH = tuple(way for way in Way if way is not Way.DIRECT)
SERVER_LACKS: Mapping[tuple[Way, str], set[str]] = {
    # The scenario wants one question under the key `user_name`. A server of the older revisions asks with a request,
    # which has no such key, so that none of it can be carried on; the question itself and its answer are.
    (way, "2026-07-28"): {"input-required-result-basic-elicitation"}
    for way in (Way.LEGACY_STDIO, Way.LEGACY_HTTP)
}
"""What a server of one era cannot have, whoever carries it."""
SCORED = {"default": 31, "2025-11-25": 30, "2026-07-28": 37}
"""How many scenarios of each set count, as a guard against a run that silently tested less."""

pytestmark = [pytest.mark.registry, pytest.mark.timeout(600)]
BY_SET = [pytest.param(name, id=name) for name in SETS]
"""The runs of one set share what the server does by itself, so that they belong to one process."""
_direct: dict[str, Results] = {}


def direct_results(name: str) -> Results:
    """What the server does by itself; measured once for each set."""
    if name not in _direct:
        with way_to(Way.DIRECT) as url:
            _direct[name] = run_suite(url, name)
    return _direct[name]


def passed(results: Results) -> set[str]:
    return {scenario for scenario, result in results.items() if result.is_scored and result.is_passed}


def lost(direct: Results, through: Results) -> set[str]:
    return passed(direct) - {scenario for scenario, result in through.items() if result.is_passed}


def table(name: str, way: Way, direct: Results, through: Results) -> str:
    rows = [
        f"\n{name}, {way.value}: {len(passed(through))} of {len(passed(direct))} scenarios",
        "scenario | direct | through",
    ]
    for scenario in sorted(direct):
        before, after = direct[scenario], through.get(scenario)
        note = "" if before.is_scored else " (not scored)"
        figures = f"{after.passed} passed, {len(after.failures)} failed" if after else "not run"
        rows.append(f"{scenario}{note} | {before.passed} passed, {len(before.failures)} failed | {figures}")
        rows += [f"    {failure}" for failure in (after.failures if after and before.is_passed else ())]
    return "\n".join(rows)


@pytest.mark.parametrize("name", BY_SET)
def test_the_server_itself_passes_every_scored_scenario(name):
    results = direct_results(name)
    scored = {scenario for scenario, result in results.items() if result.is_scored}
    assert len(scored) == SCORED[name]
    assert passed(results) == scored


@pytest.mark.parametrize("name", BY_SET)
@pytest.mark.parametrize("way", THROUGH, ids=lambda way: way.value)
def test_nothing_is_lost_but_what_is_listed(way, name, capsys):
    direct = direct_results(name)
    listed = set(NOT_YET[way.value][name]) | SERVER_LACKS.get((way, name), set())
    with way_to(way) as url:
        through = dict(run_suite(url, name))
        # A scenario that comes out differently gets a second hearing alone, because some of them race with a clock.
        for scenario in lost(direct, through) ^ listed:
            through |= run_suite(url, name, scenario=scenario)
    with capsys.disabled():
        print(table(name, way, direct, through))
    assert lost(direct, through) == listed


def test_the_list_names_only_ways_and_sets_that_are_run():
    assert {way: set(sets) for way, sets in NOT_YET.items()} == {way.value: set(SETS) for way in THROUGH}
