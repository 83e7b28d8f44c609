"""The rules in force, and the record of what they did."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random

from reconciler.engine.faults.effects import Effect
from reconciler.engine.faults.rules import Call, Rule, Subject, matches_call, matches_subject

FIRINGS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One time that a rule acted."""

    rule_id: str
    effect: str
    occasion: str
    """`POST /v1/apps/acme-time/machines`, or the machine and the moment for effects that act on no call."""


@dataclass(slots=True, kw_only=True)
class Planted:
    """A rule in force, with what it has seen."""

    id: str
    rule: Rule
    seen: int = 0
    """Occasions that matched."""
    fired: int = 0
    random: Random = field(repr=False)

    def acts(self) -> bool:
        """Whether it acts on the occasion that has just matched."""
        self.seen += 1
        if self.seen < self.rule.nth or (self.rule.times is not None and self.fired >= self.rule.times):
            return False
        if self.rule.probability < 1 and self.random.random() >= self.rule.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """Rules may be added and removed while the engine runs; they outlive it, so that they hold across a restart."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._numbers = count(1)
        self._planted: dict[str, Planted] = {}
        self._firings: deque[Firing] = deque(maxlen=FIRINGS_KEPT)
        self._watchers: list[Callable[[], None]] = []
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> str:
        """Puts a rule in force; its id."""
        rule_id = f"fault-{next(self._numbers)}"
        # Choices that can be repeated are the point here, so this is no place for a secure generator.
        self._planted[rule_id] = Planted(id=rule_id, rule=rule, random=Random(rule.seed))  # noqa: S311 - see above.
        return rule_id

    def remove(self, rule_id: str) -> bool:
        """Ends a rule and whatever it holds up; whether there was one."""
        found = self._planted.pop(rule_id, None) is not None
        self._tell()
        return found

    def clear(self) -> None:
        """Ends every rule, and forgets what they did."""
        self._planted.clear()
        self._firings.clear()
        self._tell()

    def rules(self) -> tuple[Planted, ...]:
        return tuple(self._planted.values())

    def firings(self) -> tuple[Firing, ...]:
        """What happened, oldest first, the last `FIRINGS_KEPT`; also of rules that were removed."""
        return tuple(self._firings)

    def fired(self, rule_id: str | None = None) -> int:
        """How often a rule in force has acted, or all of them together."""
        return sum(planted.fired for planted in self._planted.values() if rule_id in {None, planted.id})

    # For the engine.

    def on_call(self, call: Call) -> tuple[Effect, ...]:
        """What happens to a call; counts as having happened."""
        occasion = f"{call.method} {call.path}"
        return tuple(p.rule.effect for p in self.rules() if matches_call(p.rule, call) and self._acts(p, occasion))

    def on_machine(self, subject: Subject, wanted: Callable[[Effect], bool], occasion: str) -> Planted | None:
        """The first rule with a wanted effect that acts on the machine now; counts as having happened."""
        for planted in self.rules():
            rule = planted.rule
            if wanted(rule.effect) and matches_subject(rule, subject) and self._acts(planted, occasion):
                return planted
        return None

    def holds(self, rule_id: str) -> bool:
        return rule_id in self._planted

    @contextmanager
    def watched(self, changed: Callable[[], None]) -> Generator[None]:
        """`changed` is called after every removal, until the block ends."""
        self._watchers.append(changed)
        try:
            yield
        finally:
            self._watchers.remove(changed)

    def _acts(self, planted: Planted, occasion: str) -> bool:
        acts = planted.acts()
        if acts:
            self._firings.append(Firing(rule_id=planted.id, effect=planted.rule.effect.effect, occasion=occasion))
        return acts

    def _tell(self) -> None:
        for changed in tuple(self._watchers):
            changed()
