"""`/_engine/…`: steers a running engine from outside, for tests that are not written in Python.

Faults are planted and listed, the clock and the tags of images are moved, simulated machines get their script. The
routes exist only where `EngineSettings.control` is on, and want the engine's token like every other. They are no part
of Fly's API, and no fault acts on them.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route, explained
from reconciler.engine.clock import rfc3339
from reconciler.engine.config import Model
from reconciler.engine.faults.book import Firing, Planted
from reconciler.engine.faults.rules import Rule
from reconciler.engine.faults.wiring import Steering
from reconciler.engine.images import ImageTags
from reconciler.engine.refusals import Refusal
from reconciler.engine.simulated import Behaviour
from reconciler.engine.simulation import Simulation

_RULE = TypeAdapter(Rule)
_BEHAVIOUR = TypeAdapter(Behaviour)
_BEHAVIOURS = TypeAdapter(Mapping[str, Behaviour])
_FIRINGS = TypeAdapter(tuple[Firing, ...])
EVERY_OTHER_APP = "*"
LONGEST_S = 366 * 86_400.0
T = TypeVar("T")


class MoveClock(Model):
    advance_s: float = Field(default=0, ge=0, le=LONGEST_S)
    """Time that passes, moment by moment."""
    jump_s: float = Field(default=0, ge=-LONGEST_S, le=LONGEST_S)
    """Time that is skipped, forward or back."""


class MoveTag(Model):
    image: str = Field(pattern=r"^[^@\s]+$")
    """A reference without a digest."""


class ControlRoutes:
    def __init__(self, steering: Steering, simulation: Simulation | None, tags: ImageTags) -> None:
        self._faults = steering.faults
        self._clock = steering.clock
        self._simulation = simulation
        self._tags = tags

    def routes(self) -> Iterable[Route]:
        faults, behaviours = "/_engine/faults", "/_engine/behaviours"
        yield Route(method="GET", template=faults, handler=self.list)
        yield Route(method="POST", template=faults, handler=self.add)
        yield Route(method="DELETE", template=faults, handler=self.clear)
        yield Route(method="DELETE", template=f"{faults}/{{fault}}", handler=self.remove)
        yield Route(method="GET", template="/_engine/clock", handler=self.time)
        yield Route(method="POST", template="/_engine/clock", handler=self.move)
        yield Route(method="POST", template="/_engine/images", handler=self.push)
        if self._simulation is not None:
            yield Route(method="GET", template=behaviours, handler=self.behaviours)
            yield Route(method="PUT", template=f"{behaviours}/{{app}}", handler=self.behave)

    async def list(self, _: ApiRequest) -> Answer:
        rules = [_rule_json(planted) for planted in self._faults.rules()]
        return Answer(body={"rules": rules, "firings": _FIRINGS.dump_python(self._faults.firings(), mode="json")})

    async def add(self, request: ApiRequest) -> Answer:
        rule_id = self._faults.add(_read(_RULE, request.body))
        return Answer(status=201, body={"id": rule_id})

    async def clear(self, _: ApiRequest) -> Answer:
        self._faults.clear()
        return Answer(status=204)

    async def remove(self, request: ApiRequest) -> Answer:
        if not self._faults.remove(request.path["fault"]):
            raise Refusal(404, "fault not found")
        return Answer(status=204)

    async def time(self, _: ApiRequest) -> Answer:
        return self._time()

    def _time(self) -> Answer:
        return Answer(body={"now": rfc3339(self._clock.now_ns()), "running": self._clock.running})

    async def move(self, request: ApiRequest) -> Answer:
        wanted = request.read(MoveClock)
        if wanted.jump_s:
            self._clock.jump(wanted.jump_s)
        if wanted.advance_s:
            await self._pass(wanted.advance_s)
        return self._time()

    async def _pass(self, seconds: float) -> None:
        if self._simulation is not None:
            await self._simulation.advance(seconds)
        else:
            self._clock.jump(seconds)

    async def push(self, request: ApiRequest) -> Answer:
        image = request.read(MoveTag).image
        return Answer(body={"image": image, "digest": self._tags.move(image)})

    async def behaviours(self, _: ApiRequest) -> Answer:
        assert self._simulation is not None, "the route is there only with a simulation"
        return Answer(body=_BEHAVIOURS.dump_python(self._simulation.behaviours(), mode="json"))

    async def behave(self, request: ApiRequest) -> Answer:
        assert self._simulation is not None, "the route is there only with a simulation"
        behaviour = _read(_BEHAVIOUR, request.body)
        if request.path["app"] == EVERY_OTHER_APP:
            self._simulation.behave_by_default(behaviour)
        else:
            self._simulation.behave(request.path["app"], behaviour)
        return Answer(status=204)


def _read(adapter: TypeAdapter[T], body: bytes) -> T:
    """Raises: Refusal: 400, with the place and the cause."""
    try:
        return adapter.validate_json(body.strip() or b"{}")
    except ValidationError as error:
        raise refusals.invalid(explained(error)) from error


def _rule_json(planted: Planted) -> dict[str, object]:
    rule: dict[str, object] = _RULE.dump_python(planted.rule, mode="json")
    return {"id": planted.id, "seen": planted.seen, "fired": planted.fired, "rule": rule}
