"""The statuses of a commit as check runs of a GitHub App: the same outbox writes them, and they say more.

A run goes from `in_progress` to `completed`; what changes after that is a new run of the same name, which GitHub shows
in the old one's place. So every change is one more entry of GitHub's own list, and that list alone tells after a
restart what was said. A run that GitHub holds open for us is completed, never doubled.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel

from reconciler.report.connection import read
from reconciler.report.details import Annotation, CheckDetails, cut_markdown
from reconciler.report.github import GitHub
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState, is_superseded

PAGE_SIZE: Final = 20
"""Runs a page: each carries its texts, up to 130 kilobytes."""
MOST_PAGES: Final = 15
MOST_ANNOTATIONS_A_CALL: Final = 50
"""REST docs, "Create a check run": further ones are added by updates."""
MOST_ANNOTATIONS: Final = 500
MOST_COMMITS: Final = 64
"""Commits whose open runs are remembered; of older ones the list is read again."""

_COMPLETED: Final = "completed"
_CONCLUSIONS: Final = {
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "action_required",
}
"""An error is not the commit's fault: somebody must act where Catwalk runs, which is what GitHub means by the last."""
_STATES: Final = {
    "success": StatusState.SUCCESS,
    "neutral": StatusState.SUCCESS,
    "skipped": StatusState.SUCCESS,
    "failure": StatusState.FAILURE,
    "timed_out": StatusState.FAILURE,
    "action_required": StatusState.ERROR,
}
"""Others (`cancelled`, `stale`) answered nothing, as `pending`."""
_CANCELLED: Final = "cancelled"


class _Output(BaseModel):
    title: str | None = None
    annotations_count: int = 0


class _App(BaseModel):
    id: int | None = None
    client_id: str | None = None


class _Run(BaseModel):
    """The members of a check run that are read (REST docs, "Get a check run"); others may come."""

    id: int
    name: str
    status: str
    conclusion: str | None = None
    details_url: str | None = None
    output: _Output = _Output()
    app: _App | None = None


class _Page(BaseModel):
    check_runs: list[_Run]


_Open = dict[str, _Run]
"""Runs that wait for their end, by name."""


class RepositoryChecks:
    """The check runs of one repository: what the outbox writes to."""

    def __init__(self, github: GitHub, repository: Repository, pace: Pace, *, app_id: str) -> None:
        """`app_id` is the App's id or client id: runs of others are not looked at."""
        self._github, self._pace, self._app_id = github, pace, app_id
        self._path = f"/repos/{repository.full_name}"
        self._open: dict[str, _Open] = {}

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        """What our runs on a commit say, newest first.

        Raises:
            CatwalkError: see `GitHub.create_status`.
        """
        runs = await self._runs(sha)
        newest: dict[str, _Run] = {}
        for run in runs:
            newest.setdefault(run.name, run)
        self._remember(sha, {name: run for name, run in newest.items() if run.status != _COMPLETED})
        return [_status(sha, run) for run in runs]

    async def post(self, status: CommitStatus) -> None:
        """Says it: in the run that is open, or else in a new one.

        Raises:
            CatwalkError: see `GitHub.create_status`. After `Unavailable`, `statuses` tells what stands.
        """
        run = self._open.get(status.sha, {}).get(status.context)
        details = status.details or CheckDetails(summary=status.description)
        told = run.output.annotations_count if run is not None else 0
        batches = _batches(details.annotations[told:MOST_ANNOTATIONS]) if _is_final(status) else [()]
        for number, batch in enumerate(batches, start=1):
            body = _body(status, details, batch, final=number == len(batches))
            run = await self._write(status, run, body)

    async def _write(self, status: CommitStatus, run: _Run | None, body: Mapping[str, object]) -> _Run:
        """One call. What GitHub answers is remembered at once: the next call may fail."""
        async with self._pace.turn():
            if run is None:
                content = await self._github.call(
                    "POST", f"{self._path}/check-runs", body={"head_sha": status.sha, **body}
                )
            else:
                content = await self._github.call("PATCH", f"{self._path}/check-runs/{run.id}", body=body)
        answered = read(_Run, content)
        runs = {name: one for name, one in self._open.get(status.sha, {}).items() if name != status.context}
        if answered.status != _COMPLETED:
            runs[status.context] = answered
        self._remember(status.sha, runs)
        return answered

    async def _runs(self, sha: str) -> list[_Run]:
        found: list[_Run] = []
        app = f"&app_id={self._app_id}" if self._app_id.isdigit() else ""
        for page in range(1, MOST_PAGES + 1):
            path = f"{self._path}/commits/{sha}/check-runs?filter=all&per_page={PAGE_SIZE}&page={page}{app}"
            listed = read(_Page, await self._github.call("GET", path)).check_runs
            found += [run for run in listed if self._is_own(run)]
            if len(listed) != PAGE_SIZE:
                break
        return sorted(found, key=lambda run: run.id, reverse=True)

    def _is_own(self, run: _Run) -> bool:
        """Some servers do not tell the App of a run; the name is ours then, or nobody's."""
        return run.app is None or self._app_id in {str(run.app.id), run.app.client_id}

    def _remember(self, sha: str, runs: _Open) -> None:
        self._open.pop(sha, None)
        self._open[sha] = runs
        while len(self._open) > MOST_COMMITS:
            del self._open[next(iter(self._open))]


def _batches(annotations: Sequence[Annotation]) -> list[Sequence[Annotation]]:
    """At least one, because the words must be said also where no line is marked."""
    starts = range(0, len(annotations), MOST_ANNOTATIONS_A_CALL)
    return [annotations[start : start + MOST_ANNOTATIONS_A_CALL] for start in starts] or [()]


def _body(
    status: CommitStatus, details: CheckDetails, annotations: Sequence[Annotation], *, final: bool
) -> dict[str, object]:
    output: dict[str, object] = {"title": status.description, "summary": cut_markdown(details.summary)}
    if details.text:
        output["text"] = cut_markdown(details.text)
    if annotations:
        output["annotations"] = [_annotation(one) for one in annotations]
    body: dict[str, object] = {"name": status.context, "output": output}
    body |= {"external_id": details.external_id} if details.external_id else {}
    body |= {"details_url": status.target_url} if status.target_url else {}
    if final and _is_final(status):
        return body | {"status": _COMPLETED, "conclusion": _CONCLUSIONS.get(status.state, _CANCELLED)}
    return body | {"status": "in_progress"}


def _annotation(one: Annotation) -> dict[str, object]:
    said: dict[str, object] = {
        "path": one.path,
        "start_line": one.line,
        "end_line": one.line,
        "annotation_level": one.level.value,
        "message": one.message,
    }
    return said | ({"title": one.title} if one.title else {})


def _is_final(status: CommitStatus) -> bool:
    """Nothing will ever answer a run that a newer commit has overtaken: it is ended as cancelled."""
    return status.state is not StatusState.PENDING or is_superseded(status)


def _status(sha: str, run: _Run) -> CommitStatus:
    return CommitStatus(
        sha=sha,
        context=run.name,
        state=_STATES.get(run.conclusion or "", StatusState.PENDING),
        description=run.output.title or "",
        target_url=run.details_url or "",
    )
