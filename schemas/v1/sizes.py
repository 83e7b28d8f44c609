"""Which machine sizes Fly sells, and what is wrong with one that it does not.

The table is flyctl's (`internal/command/machine/update.go`): the memory of a machine is a multiple of a step, between a
least and a most per CPU. The check needs kind, CPUs and memory together, so it runs on a server after the defaults were
merged in and not on the parts that a person wrote.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """One CPU kind: the counts on sale and the memory around them, in MB of 2**20 bytes."""

    cpus: tuple[int, ...]
    step_mb: int
    least_mb_per_cpu: int
    most_mb_per_cpu: int


SIZE_RULES: Final = {
    "shared": SizeRule(cpus=(1, 2, 4, 6, 8), step_mb=256, least_mb_per_cpu=256, most_mb_per_cpu=2048),
    "performance": SizeRule(
        cpus=(*range(1, 17), 32, 64, 128), step_mb=1024, least_mb_per_cpu=2048, most_mb_per_cpu=8192
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFault:
    """Which field of `vm` is wrong, why, and what would be right."""

    field: str
    message: str
    hint: str


def size_fault(cpu_kind: str, cpus: int, memory_mb: int) -> SizeFault | None:
    """What keeps Fly from selling this machine, or nothing."""
    rule = SIZE_RULES[cpu_kind]
    if cpus not in rule.cpus:
        return SizeFault(
            field="cpus",
            message=f"Fly sells no {cpu_kind} machine with {cpus} CPUs",
            hint=f"choose one of {_counts(cpu_kind, rule)}",
        )
    least, most = rule.least_mb_per_cpu * cpus, rule.most_mb_per_cpu * cpus
    if least <= memory_mb <= most and memory_mb % rule.step_mb == 0:
        return None
    return SizeFault(
        field="memory_mb",
        message=f"{memory_mb} MB is no memory size of a {cpu_kind} machine with {cpus} CPU{'s' if cpus > 1 else ''}",
        hint=f"{_nearest(memory_mb, least, most, rule.step_mb)} MB fits; "
        f"allowed are multiples of {rule.step_mb} from {least} to {most}",
    )


def _counts(cpu_kind: str, rule: SizeRule) -> str:
    if cpu_kind == "performance":
        return "1 to 16, 32, 64, 128"
    return ", ".join(str(count) for count in rule.cpus)


def _nearest(memory_mb: int, least: int, most: int, step_mb: int) -> int:
    rounded_up = -(-memory_mb // step_mb) * step_mb
    return min(max(rounded_up, least), most)
