"""A reporter that tells people outside GitHub, through the courier."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from reconciler.core.actions import Pass
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Reporter
from reconciler.report.courier import Courier
from reconciler.report.explanations import Explanations
from reconciler.report.messages import Wish
from reconciler.report.notices import Notice, notices, slack_wish, webhook_wish

WEBHOOK: Final = "webhook"
SLACK: Final = "slack"
FORMS: Final[Mapping[str, Callable[[str, Notice], Wish]]] = {WEBHOOK: webhook_wish, SLACK: slack_wish}
"""How each channel wants a notice."""

_log = structlog.get_logger(__name__)


class Notifier:
    """Wants notices told after each pass. Implements `Reporter`."""

    def __init__(self, courier: Courier, explanations: Explanations, *, public_url: str = "") -> None:
        self._courier, self._explanations, self._public_url = courier, explanations, public_url

    async def begin(self, begun: Pass) -> None:
        """What begins is no news yet."""

    async def report(self, finished: Pass) -> None:
        """Wants told what is news; never fails a pass."""
        try:
            explained = dict(await self._explanations.of(finished))
            for channel, form in FORMS.items():
                told = await self._courier.subjects(channel)
                found = notices(finished, explanations=explained, public_url=self._public_url, told=told)
                await self._courier.want([form(channel, notice) for notice in found])
        except CatwalkError as fault:
            _log.error("notify_failed", pass_number=finished.number, problem=str(fault))


class Together:
    """Several reporters as one."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    async def begin(self, begun: Pass) -> None:
        for reporter in self._reporters:
            await reporter.begin(begun)

    async def report(self, finished: Pass) -> None:
        for reporter in self._reporters:
            await reporter.report(finished)
