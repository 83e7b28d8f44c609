"""Machines are held to their memory, where the kernel lets us; the two hierarchies are told apart everywhere."""

import sys
from pathlib import Path

import pytest

from reconciler.engine.memory_limits import VERSION_1, VERSION_2, usable_groups

GREEDY = "held = bytearray(600 * 1024 * 1024)\nheld[::4096] = b'x' * len(held[::4096])\nprint('survived', flush=True)"


@pytest.fixture
def kernel_limits():
    if usable_groups() is None:
        pytest.skip("this computer lets nobody here make control groups with a memory limit")


def program(text: str, **changes: object) -> dict[str, object]:
    return {
        "init": {"exec": [sys.executable, "-S", "-c", text]},
        "services": [],
        "restart": {"policy": "no"},
        **changes,
    }


def exits(machine):
    return [event["request"]["exit_event"] for event in machine["events"] if event["type"] == "exit"]


@pytest.mark.usefixtures("kernel_limits")
async def test_a_machine_that_takes_more_than_its_memory_is_killed_and_says_why(bench):
    made = await bench.make_machine(config=program(GREEDY))
    (ended,) = exits(await bench.until(made, exits))
    assert (ended["exit_code"], ended["signal"], ended["oom_killed"]) == (137, 9, True)
    assert "survived" not in await bench.log_text()


@pytest.mark.usefixtures("kernel_limits")
async def test_a_larger_machine_may_take_as_much(bench):
    guest = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024}
    made = await bench.make_machine(config=program(GREEDY, guest=guest))
    (ended,) = exits(await bench.until(made, exits))
    assert (ended["exit_code"], ended["oom_killed"]) == (0, False)
    assert "survived" in await bench.log_text()


@pytest.mark.usefixtures("kernel_limits")
async def test_what_is_executed_beside_the_command_counts_too(bench):
    made = await bench.started()
    body = {"command": [sys.executable, "-S", "-c", GREEDY]}
    answer = (await bench.api.post(f"{bench.path(made)}/exec", json=body)).json()
    assert (answer["exit_code"], answer["stdout"]) == (137, "")


@pytest.mark.usefixtures("kernel_limits")
async def test_no_group_is_left_when_a_machine_has_ended(bench, eventually):
    parent = usable_groups().parent
    made = await bench.started()
    group = parent / f"catwalk-{made['id']}"
    assert group.is_dir()
    await bench.api.post(f"{bench.path(made)}/stop")
    await bench.wait(made, "stopped")
    await eventually(lambda: not group.exists())


@pytest.mark.usefixtures("kernel_limits")
async def test_no_group_is_left_when_the_engine_ends(open_bench, settings):
    parent = usable_groups().parent
    async with open_bench(settings) as bench:
        await bench.make_app()
        made = await bench.started()
        assert (parent / f"catwalk-{made['id']}").is_dir()
    assert not (parent / f"catwalk-{made['id']}").exists()


@pytest.mark.usefixtures("kernel_limits")
def test_what_a_killed_engine_left_is_removed():
    groups = usable_groups()
    left = groups.open("0000000000dead", 256)
    groups.forget({"0000000000dead", "0000000000beef"})
    assert not left.path.exists()


def process(root: Path, own: str, mounts: str) -> Path:
    proc = root / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(own, encoding="utf-8")
    (proc / "mountinfo").write_text(mounts, encoding="utf-8")
    return proc


def group(path: Path, **files: str) -> None:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text, encoding="utf-8")


def test_in_version_2_groups_are_made_beside_the_own_one_where_memory_is_handed_on(tmp_path):
    group(tmp_path / "all/app.slice", cgroup__procs="", cgroup__subtree_control="cpu memory pids")
    mounts = f"30 23 0:28 / {tmp_path}/all rw,relatime - cgroup2 cgroup2 rw"
    found = usable_groups(process(tmp_path, "0::/app.slice/shell.scope", mounts))
    assert found is not None
    assert (found.parent, found.layout) == (tmp_path / "all/app.slice", VERSION_2)


def test_in_version_2_nothing_is_limited_where_memory_is_not_handed_on(tmp_path):
    group(tmp_path / "all/app.slice", cgroup__procs="", cgroup__subtree_control="pids")
    mounts = f"30 23 0:28 / {tmp_path}/all rw,relatime - cgroup2 cgroup2 rw"
    assert usable_groups(process(tmp_path, "0::/app.slice/shell.scope", mounts)) is None


def test_in_version_1_groups_are_made_in_the_own_one(tmp_path):
    group(tmp_path / "memory/user", cgroup__procs="")
    mounts = (
        f"35 31 0:32 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /nowhere rw - cgroup2 cgroup2 rw"
    )
    found = usable_groups(process(tmp_path, "4:memory:/user\n0::/", mounts))
    assert found is not None
    assert (found.parent, found.layout) == (tmp_path / "memory/user", VERSION_1)


@pytest.mark.parametrize(
    ("own", "mounts"),
    [("", ""), ("0::/", "30 23 0:28 / /nowhere rw - cgroup2 cgroup2 rw"), ("4:memory:/x", "")],
    ids=["no groups", "the root of a container", "not mounted"],
)
def test_where_no_group_can_be_made_nothing_is_limited(tmp_path, own, mounts):
    assert usable_groups(process(tmp_path, own, mounts)) is None


def test_kills_of_an_earlier_run_do_not_count_for_a_later_one(tmp_path):
    group(tmp_path / "memory/user", cgroup__procs="")
    mounts = f"35 31 0:32 / {tmp_path}/memory rw - cgroup cgroup rw,memory"
    groups = usable_groups(process(tmp_path, "4:memory:/user", mounts))
    assert groups is not None
    group(groups.parent / "catwalk-one", memory__oom_control="under_oom 0\noom_kill 2\n")
    opened = groups.open("one", 256)
    assert opened is not None
    assert not opened.has_killed()
    (opened.path / "memory.oom_control").write_text("under_oom 0\noom_kill 3\n", encoding="utf-8")
    assert opened.has_killed()
    assert (opened.path / "memory.limit_in_bytes").read_text(encoding="utf-8") == str(256 * 1024 * 1024)
