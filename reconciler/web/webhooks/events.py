"""What a webhook asks for: a look, another try, a plan of a proposed commit, or nothing. Pure.

Of each payload only the few fields are read that decide it, and none must be there: GitHub's payloads differ by age and
by event, and one that cannot be understood is only a hint less. Payloads and their fields: GitHub docs, "Webhook events
and payloads".
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, cast
from urllib.parse import parse_qs

from reconciler.core.types import Trigger
from reconciler.loop.ports import Proposal

OWN_PREFIX: Final = "catwalk/"
"""Names of our check runs begin with it."""
PLAN_CHECK: Final = "catwalk/plan"
_BRANCH: Final = "refs/heads/"
_QUEUE: Final = "refs/heads/gh-readonly-queue/"
"""Where GitHub keeps the commits of a merge queue (docs, "Managing a merge queue")."""
_PROPOSING: Final = frozenset({"opened", "synchronize", "reopened", "ready_for_review"})
"""Actions of `pull_request` after which there is a new head, or one that matters now."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_LONGEST_REF: Final = 400
_MOST_NUMBER: Final = 2**31 - 1
FORM: Final = "application/x-www-form-urlencoded"
"""GitHub's default content type for repository webhooks: the JSON is the field `payload` of a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What the fleet follows."""

    repository: str
    """`owner/name`, compared without case, as GitHub does."""
    branch: str = ""
    """Empty follows the repository's default branch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What is to be done about a webhook."""

    reason: str
    """In words, for the answer and the log. Made of our own words alone: a payload is never quoted."""
    trigger: Trigger | None = None
    """Why the loop is to look; none where it need not."""
    proposal: Proposal | None = None
    """A commit that is to be planned."""
    replanned: str = ""
    """A commit whose plan is asked for again."""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return self.trigger is None and self.proposal is None and not self.replanned


_NOTHING: Final = Meaning(reason="nothing follows from this event")


class PayloadError(Exception):
    """The body is no JSON object, alone or in a form."""


def payload_of(body: bytes, content_type: str) -> dict[str, object]:
    """The payload of a webhook.

    Raises:
        PayloadError: it is not what GitHub sends.
    """
    try:
        if content_type.partition(";")[0].strip().lower() == FORM:
            body = parse_qs(body.decode("ascii"), strict_parsing=True)["payload"][0].encode("utf-8")
        value: object = json.loads(body)
    except (ValueError, KeyError, RecursionError) as error:
        raise PayloadError from error
    if not isinstance(value, dict):
        raise PayloadError
    return cast("dict[str, object]", value)


def meaning_of(event: str, payload: dict[str, object], followed: Followed) -> Meaning:
    """What an event means for the fleet."""
    if event in {"installation", "installation_repositories"}:
        return Meaning(trigger=Trigger.WEBHOOK, reason="what the app may do has changed")
    if _text(payload, "repository", "full_name").lower() != followed.repository.lower():
        return Meaning(reason="it is about another repository")
    reader = _READERS.get(event)
    return reader(payload, followed) if reader is not None else _NOTHING


def _push(payload: dict[str, object], followed: Followed) -> Meaning:
    if _text(payload, "ref") != f"{_BRANCH}{_branch(payload, followed)}":
        return Meaning(reason="it is about another branch")
    return Meaning(trigger=Trigger.WEBHOOK, reason="the followed branch has moved")


def _pull_request(payload: dict[str, object], followed: Followed) -> Meaning:
    """The head lies in the repository itself under a name that GitHub gives, also where it came from a fork."""
    if _text(payload, "action") not in _PROPOSING:
        return _NOTHING
    if _text(payload, "pull_request", "base", "ref") != _branch(payload, followed):
        return Meaning(reason="it is to be merged into another branch")
    number, commit = _pull_number(payload), _text(payload, "pull_request", "head", "sha")
    if not number or not _COMMIT.fullmatch(commit):
        return _NOTHING
    proposal = Proposal(number=number, commit=commit, ref=f"refs/pull/{number}/head")
    return Meaning(proposal=proposal, reason="a proposed commit is to be planned")


def _merge_group(payload: dict[str, object], followed: Followed) -> Meaning:
    if _text(payload, "action") != "checks_requested":
        return _NOTHING
    if _text(payload, "merge_group", "base_ref") != f"{_BRANCH}{_branch(payload, followed)}":
        return Meaning(reason="it is to be merged into another branch")
    commit, ref = _text(payload, "merge_group", "head_sha"), _text(payload, "merge_group", "head_ref")
    if not _COMMIT.fullmatch(commit) or not ref.startswith(_QUEUE) or not _is_ref(ref):
        return _NOTHING
    return Meaning(
        proposal=Proposal(number=0, commit=commit, ref=ref), reason="a commit of the merge queue is to be planned"
    )


def _check_run(payload: dict[str, object], _: Followed) -> Meaning:
    """A person who presses "Re-run" asks for another plan, or for another try of what is held, as a command does."""
    name = _text(payload, "check_run", "name")
    if _text(payload, "action") != "rerequested" or not name.startswith(OWN_PREFIX):
        return _NOTHING
    if name == PLAN_CHECK:
        return _planned_again(_text(payload, "check_run", "head_sha"))
    return Meaning(trigger=Trigger.COMMAND, reason="somebody asked for another try")


def _check_suite(payload: dict[str, object], _: Followed) -> Meaning:
    """Somebody pressed "Re-run all checks". GitHub tells the App whose suite it is, and not which checks are meant."""
    if _text(payload, "action") != "rerequested":
        return _NOTHING
    again = _planned_again(_text(payload, "check_suite", "head_sha"))
    return replace(again, trigger=Trigger.COMMAND, reason="somebody asked for another try")


def _planned_again(commit: str) -> Meaning:
    if not _COMMIT.fullmatch(commit):
        return _NOTHING
    return Meaning(replanned=commit, reason="somebody asked for another plan")


_READERS: Final[Mapping[str, Callable[[dict[str, object], Followed], Meaning]]] = {
    "push": _push,
    "pull_request": _pull_request,
    "merge_group": _merge_group,
    "check_run": _check_run,
    "check_suite": _check_suite,
}


def _branch(payload: dict[str, object], followed: Followed) -> str:
    return followed.branch or _text(payload, "repository", "default_branch")


def _is_ref(name: str) -> bool:
    """Whether it can be asked for by name: nothing of git's own syntax in it (git docs, "git-check-ref-format")."""
    plain = name.isprintable() and not set(name) & set(" ~^:?*[\\+")
    return plain and len(name) <= _LONGEST_REF and ".." not in name and "@{" not in name and not name.endswith("/")


def _pull_number(payload: dict[str, object]) -> int:
    """GitHub tells it twice; servers that speak as GitHub does leave the outer one out."""
    inner = payload.get("pull_request")
    told = cast("dict[str, object]", inner) if isinstance(inner, dict) else {}
    return _number(payload, "number") or _number(told, "number")


def _number(payload: dict[str, object], key: str) -> int:
    """A number from 1; 0 where there is none."""
    value = payload.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_NUMBER else 0


def _text(payload: dict[str, object], *path: str) -> str:
    """The text at a path; empty where there is none."""
    here, last = payload, path[-1]
    for key in path[:-1]:
        inner = here.get(key)
        if not isinstance(inner, dict):
            return ""
        here = cast("dict[str, object]", inner)
    value = here.get(last)
    return value if isinstance(value, str) else ""
