"""Holds a machine to its memory, where this computer lets a program do that: by a control group of the kernel.

A limit per process (RLIMIT_AS) would be wrong: Node and Go reserve far more addresses than they use. A control group
counts what a machine really has, with everything it started, and the kernel kills in it as it would inside a small
machine at Fly. A group can be made by root, and by a user whose session's groups were delegated; in most containers it
cannot, and then nothing is enforced.

Both hierarchies of Linux are spoken: version 2, and version 1 where memory is still there (kernel documentation,
"Control Group v2" and "Memory Resource Controller").
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the files of a group are called."""

    limit: str
    events: str
    """Holds a line `oom_kill COUNT`."""


VERSION_1 = Layout(limit="memory.limit_in_bytes", events="memory.oom_control")
VERSION_2 = Layout(limit="memory.max", events="memory.events")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGroup:
    """The group of one run."""

    path: Path
    layout: Layout
    kills_before: int = 0
    """Of earlier runs in the same group, where a killed engine left it."""

    @property
    def entrance(self) -> Path:
        """The file that a process writes `0` to in order to enter."""
        return self.path / "cgroup.procs"

    def has_killed(self) -> bool:
        """Whether the kernel killed a process of this run for want of memory."""
        return _kills(self.path, self.layout) > self.kills_before

    def close(self) -> None:
        """Removes the group, which must be empty; one that is not is left to the next run."""
        _remove(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGroups:
    """A place in which groups can be made."""

    parent: Path
    layout: Layout

    def open(self, machine_id: str, memory_mb: int) -> MemoryGroup | None:
        """The group for a run of a machine; None where the kernel refuses it."""
        path = self._path(machine_id)
        try:
            path.mkdir(exist_ok=True)
            (path / self.layout.limit).write_text(str(memory_mb * MEGABYTE), encoding="utf-8")
        except OSError:
            return None
        return MemoryGroup(path=path, layout=self.layout, kills_before=_kills(path, self.layout))

    def forget(self, machine_ids: Iterable[str]) -> None:
        """Removes what a killed engine left of those machines."""
        for machine_id in machine_ids:
            _remove(self._path(machine_id))

    def _path(self, machine_id: str) -> Path:
        return self.parent / f"catwalk-{machine_id}"


def _remove(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return


def usable_groups(proc: Path = Path("/proc/self")) -> MemoryGroups | None:
    """Where this process may make groups; None where it may not, and where there are none. Blocks for a moment."""
    try:
        mounts = (proc / "mountinfo").read_text(encoding="utf-8").splitlines()
        own = (proc / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((groups for groups in _candidates(mounts, own) if _is_usable(groups)), None)


def _candidates(mounts: Sequence[str], own: Sequence[str]) -> Iterator[MemoryGroups]:
    """The own group in version 1; in version 2 the one around it, because a group with processes has no subgroups."""
    for line in own:
        number, controllers, path = line.split(":", 2)
        is_second = number == "0" and not controllers
        if not is_second and "memory" not in controllers.split(","):
            continue
        mount = _mount(mounts, "" if is_second else "memory")
        if mount is None:
            continue
        group = mount / path.lstrip("/")
        if not is_second:
            yield MemoryGroups(parent=group, layout=VERSION_1)
        elif group != mount and _hands_on_memory(group.parent):
            yield MemoryGroups(parent=group.parent, layout=VERSION_2)


def _mount(mounts: Sequence[str], controller: str) -> Path | None:
    """Where a hierarchy is mounted as a whole (proc(5), mountinfo). Without a controller, that of version 2."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        fits = kind == "cgroup" and controller in options.split(",") if controller else kind == "cgroup2"
        if fits and root == "/":
            return Path(point)
    return None


def _hands_on_memory(group: Path) -> bool:
    try:
        return "memory" in (group / "cgroup.subtree_control").read_text(encoding="utf-8").split()
    except OSError:
        return False


def _is_usable(groups: MemoryGroups) -> bool:
    """Tried out, because rights, mount options and delegation all have a say."""
    if not os.access(groups.parent / "cgroup.procs", os.W_OK):
        return False
    group = groups.open(f"probe-{os.getpid()}", 256)
    if group is None:
        return False
    group.close()
    return True


def _kills(path: Path, layout: Layout) -> int:
    try:
        lines = (path / layout.events).read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
