"""Asks a person what an entry of the registry leaves open, and takes from the command line what was said there.

A secret is asked for without an echo and only where it can be encrypted at once; it never comes from the command line.
Without a terminal nothing is asked: what is required must have been given, all of it named in one message, and secrets
are left for `catwalk secrets set`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import click

from reconciler.core.secret import SecretValue
from reconciler.sources.mcp_registry.drafts import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was said, by the name of the question."""

    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, SecretValue] = field(default_factory=dict[str, SecretValue], repr=False)

    def revealed(self) -> dict[str, str]:
        """Both, in the clear; for the one place that puts secrets together before they are encrypted."""
        return {**self.texts, **{name: value.reveal() for name, value in self.secrets.items()}}


def given(pairs: Iterable[str], questions: Sequence[Question]) -> dict[str, str]:
    """What `--set NAME=VALUE` says.

    Raises:
        UsageError: a pair without `=`, a name that nothing asks for, a secret, or a value that is not offered.
    """
    known = {question.name: question for question in questions}
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or name not in known:
            names = ", ".join(known) or "nothing"
            raise click.UsageError(f"--set takes NAME=VALUE, and this server asks for {names}")
        if known[name].about.is_secret:
            raise click.UsageError(f"{name} is a secret, which does not belong on the command line; it is asked for")
        _check_choice(known[name], value)
        found[name] = value
    return found


def ask(questions: Sequence[Question], known: Mapping[str, str], *, secrets: bool) -> Answers:
    """Asks in a terminal for what is still open. Enter leaves an optional answer out, and a secret for later."""
    texts, hidden = dict(known), dict[str, SecretValue]()
    for question in questions:
        if question.name in texts:
            continue
        if question.about.is_secret:
            if secrets and (secret := _ask_secret(question)):
                hidden[question.name] = SecretValue(secret)
        elif (text := _ask_text(question)) is not None:
            texts[question.name] = text
    return Answers(texts=texts, secrets=hidden)


def refuse_missing(questions: Sequence[Question], known: Mapping[str, str]) -> None:
    """Raises: UsageError: something is required, is no secret, and was not given."""
    missing = [each for each in questions if each.needs_answer and not each.about.is_secret and each.name not in known]
    if missing:
        options = " ".join(f"--set {question.name}=…" for question in missing)
        raise click.UsageError(f"this server needs to be told: {options}")


def _ask_secret(question: Question) -> str:
    label = _label(question, "Enter: later" if question.needs_answer else "Enter: without")
    answer: str = click.prompt(label, default="", show_default=False, hide_input=True, err=True)
    return answer


def _ask_text(question: Question) -> str | None:
    about = question.about
    kind = click.Choice(about.choices) if about.choices else None
    if question.needs_answer:
        required: str = click.prompt(_label(question), type=kind, err=True)
        return required
    if about.is_required:
        fallback: str = click.prompt(_label(question), default=about.default, type=kind, err=True)
        return fallback
    optional: str = click.prompt(_label(question, "Enter: without"), default="", show_default=False, err=True)
    if optional:
        _check_choice(question, optional)
    return optional or None


def _label(question: Question, note: str = "") -> str:
    about = " ".join((question.about.description or question.about.placeholder).split())
    return " ".join(
        part for part in (question.name, f"- {about[:200]}" if about else "", f"[{note}]" if note else "") if part
    )


def _check_choice(question: Question, value: str) -> None:
    if question.about.choices and value not in question.about.choices:
        raise click.UsageError(f"{question.name} is one of {', '.join(question.about.choices)}")
