"""What the parts of one fleet's door share: the connection, who we are, and what was touched lately.

Reads lag behind writes by up to a minute on Fly. So the door remembers, for that long, which apps and machines it has
just changed: for those a 404 is no proof of absence, and a list that does not show them is completed by asking for
them one by one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from reconciler.fly import errors
from reconciler.fly.client import MachinesAPI
from reconciler.fly.news import News

Answered = TypeVar("Answered")

LAG_S: Final = 60.0
"""How long a read may lag behind a write (Fly docs and flyctl tolerate the same)."""
LAG_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take."""

    launch_s: float = 300.0
    """From a create or update to `started`; flyctl waits as long."""
    slice_s: int = 10
    """One wait. Between two, the machine is looked at, so that a crash is noticed before the time is over."""
    settle_s: float = 60.0
    """From an order to stop or destroy to its effect."""
    handover_s: float = 0.0
    """What the callers of a machine get to finish before it is taken out of rotation."""
    prepare_s: float = 30.0
    """How long a start may be refused while the machine is prepared or replaced (seen: 9 s)."""
    image_attempts: int = 5
    image_pause_s: float = 10.0
    """A pushed image may be invisible for some tens of seconds."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One fleet's door. Mutable only in what it remembers."""

    api: MachinesAPI
    fleet: str
    organization: str
    gateway_network: str
    news: News
    patience: Patience = field(default_factory=Patience)
    secret_versions: dict[str, int] = field(default_factory=dict[str, int])
    """By app: what `min_secrets_version` a launch must ask for."""
    _made: dict[str, float] = field(default_factory=dict[str, float])
    """When an app (by name) or a machine (by id) was made or found by us, in monotonic seconds."""
    _touched: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.api.timing.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.api.timing.sleep(seconds)

    def note_made(self, subject: str) -> None:
        """Remembers that this app (by name) or machine (by id) certainly exists, whatever a lagging replica says."""
        horizon_s = self.now_s() - LAG_S
        self._made = {name: at_s for name, at_s in self._made.items() if at_s > horizon_s}
        self._made[subject] = self.now_s()

    def note_touched(self, app: str, machine_id: str) -> None:
        """Remembers that the machine has just been changed, so that the next observation asks for it by id."""
        self._touched[(app, machine_id)] = self.now_s()

    def touched_machines(self) -> frozenset[tuple[str, str]]:
        """App and id of every machine that lists may not show as it is yet."""
        horizon_s = self.now_s() - LAG_S
        self._touched = {key: at_s for key, at_s in self._touched.items() if at_s > horizon_s}
        return frozenset(self._touched)

    def forget_app(self, app: str) -> None:
        """Forgets what was remembered of an app that is gone."""
        self.secret_versions.pop(app, None)
        self._made.pop(app, None)
        self._touched = {key: at_s for key, at_s in self._touched.items() if key[0] != app}

    async def despite_lag(self, subject: str, attempt: Callable[[], Awaitable[Answered]]) -> Answered:
        """Repeats what answers "not found" for as long as that may only mean "not yet".

        Right after the creation of an app, fly-go also sees 401 for it.

        Args:
            subject: the app or machine that was noted as made.
            attempt: the call.

        Raises:
            CatwalkError: what `attempt` raised last.
        """
        while True:
            try:
                return await attempt()
            except (errors.NotFound, errors.Unauthorized):
                made_at_s = self._made.get(subject)
                if made_at_s is None or self.now_s() - made_at_s > LAG_S:
                    raise
            await self.sleep(LAG_PAUSE_S)
