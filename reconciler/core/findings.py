"""What a check found, and whether it stands in the way.

A `Problem` says what is wrong; a `Finding` adds the judgement, which differs by place: the same deprecated package is a
warning for everybody and an error for a fleet whose policy says so.
"""

from dataclasses import dataclass

from reconciler.core.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found."""

    problem: Problem
    is_error: bool
    """Whether it keeps the server from running; the rest is advice."""
