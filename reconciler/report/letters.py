"""One status on its way to one commit, and when it is worth a post. Pure.

GitHub keeps every status that it is sent and takes 1000 per commit and context. A flapping server would fill a commit's
page long before, so each context of a commit gets six posts: the last two are kept for changes of the state, not of the
words, and the very last says that it is the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.report.statuses import CommitStatus, StatusState, is_deployment, is_superseded
from reconciler.report.text import with_tail

MOST_POSTS: Final = 6
"""Posts per commit and context, over the whole life of the commit."""
KEPT_FOR_STATES: Final = 2
"""Posts that a mere change of words may not use."""
LAST_TAIL: Final = " (last update here)"

LetterKey = tuple[str, str]
"""Commit and context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What should stand in one context of one commit, and what stands there as far as is known."""

    wanted: CommitStatus
    posted: CommitStatus | None = None
    """What GitHub has accepted last."""
    posts: int = 0
    refusal: str = ""
    """Why GitHub refuses this text for good; empty when it does not."""

    @property
    def key(self) -> LetterKey:
        return key_of(self.wanted)


def key_of(status: CommitStatus) -> LetterKey:
    """GitHub compares contexts without case."""
    return status.sha, status.context.lower()


def wanting(letter: Letter | None, status: CommitStatus) -> Letter:
    """The letter with `status` as what should stand; a refusal of another text is forgotten."""
    if letter is None:
        return Letter(wanted=status)
    return letter if letter.wanted == status else replace(letter, wanted=status, refusal="")


def to_post(letter: Letter) -> CommitStatus | None:
    """What to send now, or none when nothing is worth a post."""
    if letter.refusal or letter.posts >= MOST_POSTS or _stands(letter) or _is_behind(letter):
        return None
    same_state = letter.posted is not None and letter.posted.state is letter.wanted.state
    if same_state and letter.posts >= MOST_POSTS - KEPT_FOR_STATES:
        return None
    if letter.posts == MOST_POSTS - 1:
        return replace(letter.wanted, description=with_tail(letter.wanted.description, LAST_TAIL))
    return letter.wanted


def delivered(letter: Letter, sent: CommitStatus) -> Letter:
    """The letter after GitHub has accepted `sent`; what is wanted may have changed meanwhile.

    Details that were sent are not kept: fifty commits of them would be megabytes in the store.
    """
    said = letter.wanted == sent or letter.posts + 1 >= MOST_POSTS
    wanted = _bare(letter.wanted) if said else letter.wanted
    return replace(letter, wanted=wanted, posted=_bare(sent), posts=letter.posts + 1)


def asked_again(letter: Letter | None, status: CommitStatus) -> Letter:
    """The letter after a person asked for a check again: GitHub waits for a new run, though nothing has changed.

    It costs no more of the budget than what is not kept for states, because people press a button only so often.
    """
    if letter is None or letter.posted is None or letter.posted.state is StatusState.PENDING:
        return wanting(letter, status)
    return Letter(wanted=status, posts=min(letter.posts, MOST_POSTS - KEPT_FOR_STATES))


def corrected(letter: Letter, listed: Sequence[CommitStatus]) -> Letter:
    """The letter after reading GitHub's own list, newest first: it knows of posts whose answer was lost."""
    own = [status for status in listed if key_of(status) == letter.key]
    if not own:
        return letter
    return replace(letter, posted=own[0], posts=max(letter.posts, len(own)))


def _stands(letter: Letter) -> bool:
    posted, wanted = letter.posted, letter.wanted
    return posted is not None and (posted.state, posted.description) == (wanted.state, wanted.description)


def _is_behind(letter: Letter) -> bool:
    """Whether a deployment has come further than what is wanted: it never goes back, and only its end follows success.

    Decided against what GitHub has, so that it also holds after the store was lost.
    """
    posted, wanted = letter.posted, letter.wanted
    if posted is None or not is_deployment(wanted):
        return False
    if is_superseded(wanted):
        return is_superseded(posted)
    return wanted.state is StatusState.PENDING or posted.state is StatusState.SUCCESS


def _bare(status: CommitStatus) -> CommitStatus:
    return replace(status, details=None)
