"""What the GitHub action does with a pull request: validate, annotate, plan, sum up, comment.

Run as `python -m reconciler.cli.review` by `.github/actions/validate`. It reads the checkout and what GitHub put into
the environment (GitHub docs, "Variables"), and treats all of it as data of strangers: nothing of the pull request is
run, imported or decrypted, and no text of it reaches the log other than escaped. What cannot be found out, such as a
plan while the control plane is down, is said and does not fail the check.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import click

from reconciler.cli.log_output import send_logs_to_stderr
from reconciler.cli.review_comment import say
from reconciler.cli.review_event import Proposed, proposed
from reconciler.cli.review_plan import ControlPlane, planned, read_state, refuse_other_fleet
from reconciler.cli.review_text import comment_text, summary_text
from reconciler.cli.validation import Validation, validate_directory
from reconciler.cli.validation_formats import as_github, as_sarif
from reconciler.cli.validation_packages import PackageSource
from reconciler.core.findings import Finding
from reconciler.core.problems import Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError
from reconciler.loop.faults import problems_of
from reconciler.sources.git import WorktreeSource
from reconciler.sources.manifests import read_manifests
from reconciler.sources.packages import PackageCatalog

STATE_TOKEN: Final = "STATE_TOKEN"  # noqa: S105 - The name of a variable.
"""The variable that holds the control plane's token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the workflow asks for."""

    directory: Path
    environment: str = ""
    control_plane: str = ""
    sarif: Path | None = None
    comment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What came of it."""

    findings: tuple[Finding, ...]
    plan: ProposedPlan | None = None
    notes: tuple[Problem, ...] = field(default_factory=tuple[Problem, ...])
    """What could not be found out or done, which is not the fault of the pull request."""

    @property
    def is_valid(self) -> bool:
        return not any(finding.is_error for finding in self.findings)


@click.command()
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path())
@click.option("--environment", default="")
@click.option("--control-plane", default="")
@click.option("--sarif", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--comment/--no-comment", default=False)
def main(*, directory: Path, environment: str, control_plane: str, sarif: Path | None, comment: bool) -> None:
    """Review the manifests of a checkout in a GitHub workflow."""
    send_logs_to_stderr(verbose=False)
    wishes = Wishes(
        directory=directory, environment=environment, control_plane=control_plane, sarif=sarif, comment=comment
    )
    review = anyio.run(_review, wishes, dict(os.environ))
    _tell(review, wishes, os.environ)
    sys.exit(0 if review.is_valid else 1)


async def _review(wishes: Wishes, environment: Mapping[str, str]) -> Review:
    event = proposed(environment)
    async with PackageCatalog(_without_tokens(environment)) as catalog:
        validation = Validation(
            directory=wishes.directory, packages=PackageSource(releases=catalog), environment=wishes.environment
        )
        findings = tuple(await validate_directory(validation))
    review = Review(findings=findings)
    if review.is_valid and wishes.control_plane:
        review = await _with_plan(review, wishes, event, environment)
    if wishes.comment:
        review = await _commented(review, event, environment)
    return review


def _without_tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """What npm and uv are started with: their settings may name any variable and send its value to a registry."""
    return {
        name: value
        for name, value in environment.items()
        if name not in {"GITHUB_TOKEN", STATE_TOKEN} and not name.startswith("ACTIONS_")
    }


async def _with_plan(review: Review, wishes: Wishes, event: Proposed, environment: Mapping[str, str]) -> Review:
    token = environment.get(STATE_TOKEN)
    control_plane = ControlPlane(url=wishes.control_plane, token=SecretValue(token) if token else None)
    try:
        source = WorktreeSource(directory=wishes.directory)
        files = await source.files(await source.head())
        manifests = read_manifests(files, wishes.environment)
        state = await anyio.to_thread.run_sync(read_state, control_plane)
        refuse_other_fleet(state, manifests)
        return Review(findings=review.findings, plan=planned(state, manifests, files, event.revision))
    except CatwalkError as error:
        return Review(findings=review.findings, notes=problems_of(error))


async def _commented(review: Review, event: Proposed, environment: Mapping[str, str]) -> Review:
    try:
        await say(comment_text(review.findings, review.plan, event.revision), event, environment)
    except CatwalkError as error:
        return Review(findings=review.findings, plan=review.plan, notes=(*review.notes, *problems_of(error)))
    return review


def _tell(review: Review, wishes: Wishes, environment: Mapping[str, str]) -> None:
    if review.findings:
        click.echo(as_github(review.findings))
    for note in review.notes:
        click.echo(as_github([Finding(problem=note, is_error=False)]))
    if wishes.sarif is not None:
        wishes.sarif.write_text(as_sarif(review.findings), encoding="utf-8")
    _append(environment.get("GITHUB_STEP_SUMMARY"), [summary_text(review.findings, review.plan, review.notes)])
    _append(environment.get("GITHUB_OUTPUT"), _outputs(review))


def _outputs(review: Review) -> Iterator[str]:
    errors = sum(finding.is_error for finding in review.findings)
    yield f"valid={'true' if review.is_valid else 'false'}"
    yield f"errors={errors}"
    yield f"warnings={len(review.findings) - errors}"
    yield f"plan-digest={review.plan.plan.digest if review.plan and review.plan.plan else ''}"
    yield f"changes={len(review.plan.plan.actions) if review.plan and review.plan.plan else ''}"


def _append(path: str | None, lines: Sequence[str] | Iterator[str]) -> None:
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
