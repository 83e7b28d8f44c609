"""A plan as JSON: everything that the text shows, whole."""

from reconciler.cli.progress_json import Record
from reconciler.core.action_words import KINDS, summary
from reconciler.core.actions import Action, Create, Deferred, FieldChange, PruneRequest, Update
from reconciler.core.cost import PRICES_AS_OF, MonthlyCost
from reconciler.core.problems import Problem
from reconciler.loop.passes import Preview
from reconciler.web.plans import problem_document, revision_reference


def preview_record(preview: Preview, before: MonthlyCost, after: MonthlyCost) -> Record:
    """The plan with its cost and with what stands against it.

    `actions` may happen now. `deferred` are those that follow: `until` says in words what each waits for, `not_before`
    is the time where it waits for one. `held` is not done at all. `prune` is what must be confirmed before anything is
    removed, with the `command` that does it, or null. `digest` covers `actions` and `deferred` together and is what
    `catwalk apply --plan` compares. Without a revision that can be used the lists are empty and `problems` says why.
    """
    plan = preview.plan
    return {
        "fleet": plan.fleet if plan else None,
        "revision": revision_reference(plan.revision).model_dump(mode="json") if plan else None,
        "digest": plan.digest if plan else None,
        "actions": [_action(action) for action in (plan.actions if plan else ())],
        "deferred": [_deferred(found) for found in (plan.deferred if plan else ())],
        "held": [
            {"server": held.server, "summary": held.summary, "reason": held.reason}
            for held in (plan.held if plan else ())
        ],
        "prune": _prune(plan.prune) if plan and plan.prune else None,
        "unchanged": list(plan.unchanged) if plan else [],
        "cost": {
            "currency": "USD",
            "before": before.awake,
            "after": after.awake,
            "unpriced": list(after.unpriced),
            "prices_as_of": PRICES_AS_OF,
        },
        "problems": [problem_record(problem) for problem in preview.problems],
        "warnings": [problem_record(problem) for problem in preview.warnings],
    }


def _action(action: Action) -> Record:
    return {
        "kind": KINDS[type(action)],
        "server": action.server,
        "summary": summary(action),
        "reason": action.reason,
        "changes": [_change(change) for change in action.changes] if isinstance(action, Create | Update) else [],
    }


def _deferred(found: Deferred) -> Record:
    not_before = found.not_before.isoformat() if found.not_before else None
    return {**_action(found.action), "until": found.until, "not_before": not_before}


def _prune(request: PruneRequest) -> Record:
    return {
        "digest": request.digest,
        "apps": list(request.apps),
        "reason": request.reason,
        "command": request.command,
    }


def problem_record(problem: Problem) -> Record:
    return problem_document(problem).model_dump(mode="json")


def _change(change: FieldChange) -> Record:
    return {"path": change.path, "before": change.before, "after": change.after}
