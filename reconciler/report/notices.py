"""What is worth a message outside GitHub: that a server or a revision is in trouble, and that it is over. Pure.

Nobody is told that all is well who was not told of trouble before. What makes news is the state and its cause; other
words for the same trouble are none.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from reconciler.core.actions import Pass
from reconciler.core.problems import Remedy
from reconciler.core.types import ServerStatus
from reconciler.report.messages import Wish
from reconciler.report.statuses import WELL, is_unwell
from reconciler.report.text import one_line

LONGEST_DETAIL = 500
"""Characters."""
SERVER = "server/"
REVISION = "revision"


class NoticeKind(StrEnum):
    """What a notice is about: the `type` of its webhook."""

    SERVER_UNWELL = "server.unwell"
    SERVER_WELL = "server.well"
    SERVER_GONE = "server.gone"
    REVISION_REFUSED = "revision.refused"
    REVISION_APPLIED = "revision.applied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One change of state."""

    kind: NoticeKind
    fleet: str
    subject: str
    """`server/NAME` or `revision`: a later notice of the same subject takes the place of one that was not sent."""
    title: str
    detail: str
    at: datetime
    revision: str
    url: str = ""
    server: str = ""
    state: str = ""
    cause: str = ""

    @property
    def trouble(self) -> bool:
        return self.kind in {NoticeKind.SERVER_UNWELL, NoticeKind.REVISION_REFUSED}

    @property
    def news(self) -> str:
        """What makes it another notice than the last one."""
        return " ".join((self.kind, self.state, self.cause, self.revision if self.subject == REVISION else ""))


def notices(
    finished: Pass, *, explanations: dict[str, str], public_url: str = "", told: Collection[str] = ()
) -> Iterator[Notice]:
    """Everything that should be known after a pass.

    `told` names the subjects that somebody was told of: servers among them that are no longer declared are over too.
    """
    if not finished.fleet:
        return
    yield from _revision(finished, public_url)
    for status in finished.statuses:
        if is_unwell(status) or status.state in WELL:
            yield _server(finished, status, explanations.get(status.server, ""), public_url)
    declared = {f"{SERVER}{status.server}" for status in finished.statuses}
    if finished.plan is not None:
        for subject in sorted(told):
            if subject.startswith(SERVER) and subject not in declared:
                yield _gone(finished, subject)


def _revision(finished: Pass, public_url: str) -> Iterator[Notice]:
    revision = finished.revision
    if revision is None:
        return
    refusals = [problem for problem in finished.problems if problem.remedy is Remedy.FIX_SOURCE]
    in_force = finished.applied_revision is not None and finished.applied_revision.commit == revision.commit
    if refusals and not in_force:
        kind, title, detail = NoticeKind.REVISION_REFUSED, "is refused", str(refusals[0])
    elif in_force and finished.settled:
        kind, title, detail = NoticeKind.REVISION_APPLIED, "is in force", ""
    else:
        return
    yield Notice(
        kind=kind,
        fleet=finished.fleet,
        subject=REVISION,
        title=f"{finished.fleet}: revision {revision.short} {title}",
        detail=one_line(detail, limit=LONGEST_DETAIL),
        at=finished.finished_at,
        revision=revision.commit,
        url=_page(public_url, "revisions", revision.commit),
    )


def _server(finished: Pass, status: ServerStatus, explanation: str, public_url: str) -> Notice:
    unwell = is_unwell(status)
    return Notice(
        kind=NoticeKind.SERVER_UNWELL if unwell else NoticeKind.SERVER_WELL,
        fleet=finished.fleet,
        subject=f"{SERVER}{status.server}",
        title=f"{finished.fleet}: {status.server} is {status.state if unwell else 'well again'}",
        detail=one_line(explanation or _told(status), limit=LONGEST_DETAIL) if unwell else "",
        at=status.since or finished.finished_at,
        revision=status.revision,
        url=_page(public_url, "servers", status.server),
        server=status.server,
        state=status.state.value if unwell else "well",
        cause=(status.cause.value if status.cause else "") if unwell else "",
    )


def _gone(finished: Pass, subject: str) -> Notice:
    server = subject.removeprefix(SERVER)
    return Notice(
        kind=NoticeKind.SERVER_GONE,
        fleet=finished.fleet,
        subject=subject,
        title=f"{finished.fleet}: {server} is no longer declared",
        detail="",
        at=finished.finished_at,
        revision=finished.applied_revision.commit if finished.applied_revision else "",
        server=server,
        state="gone",
    )


def _told(status: ServerStatus) -> str:
    return f"{status.cause}: {status.detail}" if status.cause and status.detail else str(status.cause or status.detail)


def _page(public_url: str, kind: str, name: str) -> str:
    return f"{public_url.rstrip('/')}/{kind}/{quote(name, safe='')}" if public_url else ""


def webhook_wish(channel: str, notice: Notice) -> Wish:
    """A notice in the shape of Standard Webhooks: `type`, `timestamp` and `data`."""
    data = {
        "fleet": notice.fleet,
        "subject": notice.subject,
        "server": notice.server,
        "state": notice.state,
        "cause": notice.cause,
        "title": notice.title,
        "detail": notice.detail,
        "revision": notice.revision,
        "url": notice.url,
    }
    body = {"type": notice.kind.value, "timestamp": notice.at.isoformat(), "data": data}
    return _wish(channel, notice, json.dumps(body, ensure_ascii=False, separators=(",", ":")))


def slack_wish(channel: str, notice: Notice) -> Wish:
    """A notice in a line, for an incoming webhook of Slack (docs, "Formatting text for app surfaces")."""
    sign = ":red_circle:" if notice.trouble else ":large_green_circle:"
    detail = f": {_escaped(notice.detail)}" if notice.detail else ""
    link = f" (<{notice.url}|details>)" if notice.url else ""
    text = f"{sign} {_escaped(notice.title)}{detail}{link}"
    return _wish(channel, notice, json.dumps({"text": text}, ensure_ascii=False))


def _escaped(text: str) -> str:
    """Three characters have a meaning in Slack's text; without them nothing in it links or pings anybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _wish(channel: str, notice: Notice, text: str) -> Wish:
    return Wish(channel=channel, subject=notice.subject, text=text, news=notice.news, only_after=not notice.trouble)
