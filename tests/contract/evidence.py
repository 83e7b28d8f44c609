"""Where the contract comes from: the mark that each case carries, the sections of the field note, the ranked faults.

`python -m tests.contract.evidence` writes the tables of README.md, `--check` compares. The cases are read from the
source and not by running them, so that the table also holds what is skipped here.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Case = TypeVar("Case", bound=Callable[..., object])

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
README = FOLDER / "README.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
UNMARKED = frozenset({"test_evidence.py", "test_targets.py"})
"""What tests the suite itself and no behaviour of the platform."""


def source(*places: str) -> Callable[[Case], Case]:
    """Names the sections of the field note that a case proves, such as `fly.md 6.2`, `fly.md 15.A.6`, `fly.md 17.2`."""

    def marked(case: Case) -> Case:
        return case

    return marked


SECTIONS = {
    "2.3": "Two services behind one host",
    "3": "Tokens and authentication",
    "4.1": "Apps",
    "4.2": "Machines",
    "4.3": "Volumes",
    "4.4": "App secrets",
    "4.5": "IPs, certificates, platform, network policies",
    "5.1": "Exact JSON names",
    "5.2": "Guest sizes",
    "5.4": "Round-trip traps (false drift)",
    "6.1": "State machine",
    "6.2": "Wait",
    "6.3": "Events",
    "7.1": "Rate limits",
    "7.2": "Status codes",
    "7.3": "Read-your-writes and transport",
    "7.4": "Create idempotency",
    "7.5": "Leases",
    "8.1": "Autostop and autostart",
    "8.2": "Suspend",
    "10": "Logs",
    "11": "Images",
    "15.A.1": "Must match: routes, content types, request ids, error envelopes",
    "15.A.2": "Must match: tokens",
    "15.A.3": "Must match: ids and names",
    "15.A.4": "Must match: asynchronous states and replication lag",
    "15.A.5": "Must match: update",
    "15.A.6": "Must match: wait",
    "15.A.7": "Must match: leases",
    "15.A.8": "Must match: rate limits",
    "15.A.9": "Must match: secrets",
    "15.A.10": "Must match: checks",
    "15.A.11": "Must match: events, restart policy, end of a machine",
    "15.A.12": "Must match: destroyed machines, lists, filters",
    "15.A.13": "Must match: addresses, regions, the present token, the end of an app",
    "15.A.14": "Must match: logs",
    "15.F": "Proving faithfulness",
    "17.1": "429: body and headers",
    "17.2": "Status of a wait that runs out: 408 or 504",
    "17.3": "Lease answer flat or enveloped; ttl in body or query",
    "17.4": "A missing nonce on restart, suspend, cordon, exec",
    "17.5": "fly-replay body limit: 1 or 10 MB",
    "17.6": "Idle timeout of the proxy",
    "17.7": "Does an idle SSE GET block autostop",
    "17.8": "autostart when omitted",
    "17.9": "name and app_name both accepted",
    "17.10": "Secret digest algorithm",
    "17.11": "May a deploy token read logs",
    "17.12": "Status of a start from created",
    "17.13": "Secrets applied on a plain start or only on update",
    "17.14": "Price table; Flycast price",
    "17.15": "Is settled accepted by wait",
    "17.16": "Is `Bearer FlyV1 fm2_…` with a space accepted",
    "17.17": "Log lines of apps on custom networks in the NATS stream",
    "17.18": "Missing org_slug on app create",
}
"""The sections of the field note that say something about the Machines API, with their subjects."""

WITHOUT_CASE = {
    "17.5": "behaviour of the proxy, which is not reached from outside on Fly; the engine's is a test of the engine",
    "17.6": "behaviour of the proxy; the engine has no idle timeout, so a case could only wait for nothing",
    "17.7": "behaviour of the proxy; the engine's choice is a test of the engine, Fly's loop takes minutes",
    "17.14": "no behaviour of an API",
    "17.17": "NATS is not the Machines API; Catwalk reads logs over HTTP",
}
"""Open questions that no case asks, and why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of the ranked list (fly.md 13) and the tests that show the client surviving it."""

    number: int
    fault: str
    tests: tuple[str, ...]
    """`path::function`, relative to `tests/`."""


MACHINE_ACTIONS, APP_ACTIONS = "fly/test_machine_actions.py", "fly/test_app_actions.py"
LOST, FAULTY, LIFE = "contract/test_lost_answers.py", "contract/test_faults.py", "contract/test_life_of_a_server.py"

FAULTS = (
    Fault(
        number=1,
        fault="create answers 408 or 5xx, or nothing, and the machine exists",
        tests=(
            f"{LOST}::test_a_lost_answer_while_a_server_is_made_makes_no_second_one",
            f"{MACHINE_ACTIONS}::test_a_create_that_happened_without_an_answer_is_found_and_never_repeated",
            f"{MACHINE_ACTIONS}::test_a_lost_create_whose_search_fails_is_unknown_and_not_absent",
        ),
    ),
    Fault(
        number=2,
        fault="404 from wait or get right after a create",
        tests=(
            f"{FAULTY}::test_not_found_right_after_a_create_makes_no_second_machine",
            f"{MACHINE_ACTIONS}::test_not_found_right_after_a_create_is_a_lagging_replica",
            f"{APP_ACTIONS}::test_a_new_app_that_other_nodes_do_not_know_yet_is_waited_for",
        ),
    ),
    Fault(
        number=3,
        fault="409 already_exists after losing the state",
        tests=(f"{LIFE}::test_what_a_crash_forgot_is_adopted_by_its_name",),
    ),
    Fault(
        number=4,
        fault="stuck in created for hours, then boots by itself",
        tests=(
            f"{FAULTY}::test_a_machine_that_boots_long_after_it_was_given_up_is_the_one_that_stays",
            f"{MACHINE_ACTIONS}::test_a_machine_that_never_starts_is_given_up_in_time",
        ),
    ),
    Fault(
        number=5,
        fault="update refused by the host's memory, the old config stays",
        tests=(f"{FAULTY}::test_a_refused_update_leaves_the_one_machine_as_it_was",),
    ),
    Fault(
        number=6,
        fault="region out of capacity",
        tests=(
            f"{FAULTY}::test_a_region_without_room_leaves_no_machine_and_the_next_pass_makes_one",
            f"{MACHINE_ACTIONS}::test_a_full_region_is_told_with_what_to_do",
        ),
    ),
    Fault(
        number=7,
        fault="own lease blocks own update, lease never released",
        tests=(
            f"{LIFE}::test_no_lease_is_left_after_an_update",
            f"{FAULTY}::test_a_lease_that_a_crash_left_behind_is_waited_out_and_not_worked_around",
            f"{MACHINE_ACTIONS}::test_a_cancelled_update_gives_the_lease_back",
        ),
    ),
    Fault(
        number=8,
        fault="409 without a message on update: lease, version or capacity",
        tests=(f"{FAULTY}::test_a_refused_update_leaves_the_one_machine_as_it_was",),
    ),
    Fault(
        number=9,
        fault="host unreachable: no config; stop and lease hang",
        tests=(
            f"{FAULTY}::test_a_machine_on_a_silent_host_is_neither_replaced_nor_destroyed",
            "fly/test_observe.py::test_a_silent_host_hides_the_config_but_not_whose_machine_it_is",
            "core/test_plan.py::test_a_machine_on_a_silent_host_is_not_rebuilt",
        ),
    ),
    Fault(
        number=10,
        fault="machine vanishes in the middle of a deploy",
        tests=(f"{FAULTY}::test_a_machine_that_vanishes_before_its_update_is_made_anew_once",),
    ),
    Fault(
        number=11,
        fault="412: start while replacing, start from created",
        tests=(
            f"{FAULTY}::test_a_start_that_is_refused_while_the_machine_is_prepared_is_repeated",
            f"{MACHINE_ACTIONS}::test_a_start_that_stays_refused_is_given_up",
        ),
    ),
    Fault(
        number=12,
        fault="autostop fights a reconciler that wants started",
        tests=(
            f"{FAULTY}::test_a_server_that_fell_asleep_is_left_asleep",
            "core/test_plan.py::test_sleep_is_no_drift_and_only_scale_min_wakes",
        ),
    ),
    Fault(
        number=13,
        fault="secrets set and the machine not restarted",
        tests=(
            f"{FAULTY}::test_secrets_that_were_set_before_a_crash_still_reach_the_machine",
            "core/test_plan.py::test_a_rotated_secret_updates_the_machine_although_its_config_is_the_same",
        ),
    ),
    Fault(
        number=14,
        fault="a scheduled machine made with skip_launch never runs",
        tests=(f"{FAULTY}::test_no_launch_is_skipped_and_nothing_is_scheduled",),
    ),
    Fault(
        number=15,
        fault="expired or newly rejected token",
        tests=(
            f"{FAULTY}::test_a_token_that_is_refused_halfway_stops_the_pass_and_the_next_one_finishes_it",
            f"{LIFE}::test_a_wrong_token_is_named_as_such",
            "fly/test_observe.py::test_a_token_that_is_refused_is_an_error_and_no_empty_fleet",
        ),
    ),
    Fault(
        number=16,
        fault="autostop reads back as a boolean: endless diff",
        tests=(f"{LIFE}::test_no_way_of_idling_reads_back_as_drift",),
    ),
    Fault(
        number=17,
        fault="exec answers 200 for a failed command; a wait above 60 s is 400",
        tests=(
            "fly/test_client.py::test_a_wait_is_clamped_to_what_fly_accepts_and_names_the_version",
            f"{FAULTY}::test_no_command_is_run_in_a_machine",
        ),
    ),
    Fault(
        number=18,
        fault="orphans bill after failures",
        tests=(
            f"{FAULTY}::test_what_a_broken_pass_left_goes_with_its_server",
            f"{LOST}::test_a_lost_answer_to_a_destroy_leaves_nothing_behind",
            "loop/test_pass_faults.py::test_an_app_that_an_earlier_process_created_goes_when_its_server_does",
        ),
    ),
    Fault(
        number=19,
        fault="proxy routes to a machine that has just stopped",
        tests=(
            f"{FAULTY}::test_a_server_that_has_just_stopped_answers_the_probe",
            "fly/test_probe.py::test_a_server_that_is_unwell_is_an_answer_and_no_exception",
        ),
    ),
    Fault(
        number=20,
        fault="partial readback without the mark: not ours or not readable",
        tests=(
            f"{MACHINE_ACTIONS}::test_a_machine_that_is_not_certainly_ours_is_never_destroyed",
            f"{APP_ACTIONS}::test_an_app_that_is_not_all_ours_is_never_destroyed",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A test of this folder, and what it names as its source."""

    file: str
    name: str
    places: tuple[str, ...]


def cases() -> Iterator[Marked]:
    """Every test of the suite, in the order of files and lines."""
    for path in sorted(FOLDER.glob("test_*.py")):
        if path.name not in UNMARKED:
            for node in _tests(path):
                yield Marked(file=path.name, name=node.name, places=tuple(_places(node)))


def missing_fault_tests() -> list[str]:
    """Tests that the table of faults names and that do not exist."""
    named = {test for fault in FAULTS for test in fault.tests}
    files = {test.partition("::")[0] for test in named}
    found = {
        f"{file}::{node.name}"
        for file in files
        if (ROOT / "tests" / file).is_file()
        for node in _tests(ROOT / "tests" / file)
    }
    return sorted(named - found)


def tables() -> str:
    """The generated part of the README."""
    marked = [case for case in cases() if case.places]
    lines = ["### Sections of the field note", "", "| section | subject | cases |", "|---|---|---|"]
    for section, subject in SECTIONS.items():
        lines.append(f"| {section} | {subject} | {_named(section, marked)} |")
    lines += ["", "### Ranked faults (section 13)", "", "| # | fault | tests |", "|---|---|---|"]
    for fault in FAULTS:
        tests = "<br>".join(f"`{test}`" for test in fault.tests)
        lines.append(f"| {fault.number} | {fault.fault} | {tests} |")
    return "\n".join(lines)


def rendered() -> str:
    """README.md as it should be."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _named(section: str, marked: list[Marked]) -> str:
    found = [f"`{case.file}::{case.name}`" for case in marked if f"fly.md {section}" in case.places]
    return "<br>".join(found) or f"none: {WITHOUT_CASE.get(section, '')}"


def _tests(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def _places(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "source":
            yield from (word.value for word in decorator.args if isinstance(word, ast.Constant))


def main() -> int:
    """Writes the tables, or with `--check` says whether they are as they should be."""
    wanted = rendered()
    if "--check" in sys.argv[1:]:
        stale = wanted != README.read_text(encoding="utf-8")
        print("README.md is stale: run python -m tests.contract.evidence" if stale else "README.md is up to date")
        return int(stale)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
