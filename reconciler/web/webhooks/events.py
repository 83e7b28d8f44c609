"""What a webhook asks for: a look, another try, or nothing. Pure.

Of each payload only the few fields are read that decide it, and none must be there: GitHub's payloads differ by age and
by event, and one that cannot be understood is only a hint less. Payloads and their fields: GitHub docs, "Webhook events
and payloads".
"""

import json
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import parse_qs

from reconciler.core.types import Trigger

OWN_PREFIX: Final = "catwalk/"
"""Names of our check runs begin with it."""
_BRANCH: Final = "refs/heads/"
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

    trigger: Trigger | None
    """None when there is nothing to do."""
    reason: str
    """In words, for the answer and the log. Made of our own words alone: a payload is never quoted."""


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
        return Meaning(trigger=None, reason="it is about another repository")
    if event == "push":
        return _push(payload, followed)
    if event == "check_run":
        return _check_run(payload)
    return Meaning(trigger=None, reason="nothing follows from this event")


def _push(payload: dict[str, object], followed: Followed) -> Meaning:
    branch = followed.branch or _text(payload, "repository", "default_branch")
    if _text(payload, "ref") != f"{_BRANCH}{branch}":
        return Meaning(trigger=None, reason="it is about another branch")
    return Meaning(trigger=Trigger.WEBHOOK, reason="the followed branch has moved")


def _check_run(payload: dict[str, object]) -> Meaning:
    """A person who presses "Re-run" asks for another try of what is held, as `catwalk apply` does."""
    if _text(payload, "action") != "rerequested" or not _text(payload, "check_run", "name").startswith(OWN_PREFIX):
        return Meaning(trigger=None, reason="nothing follows from this event")
    return Meaning(trigger=Trigger.COMMAND, reason="somebody asked for another try")


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
