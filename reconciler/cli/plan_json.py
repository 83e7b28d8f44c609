"""A plan as JSON: everything that the text shows, whole."""

from reconciler.cli.progress_json import Record
from reconciler.core.action_words import KINDS, summary
from reconciler.core.actions import FieldChange, Update
from reconciler.core.cost import PRICES_AS_OF, MonthlyCost
from reconciler.core.problems import Problem
from reconciler.loop.passes import Preview
from reconciler.web.plans import problem_document, revision_reference


def preview_record(preview: Preview, before: MonthlyCost, after: MonthlyCost) -> Record:
    """`actions` is empty when nothing would change, and also when no revision can be used: then `problems` says why."""
    plan = preview.plan
    return {
        "fleet": plan.fleet if plan else None,
        "revision": revision_reference(plan.revision).model_dump(mode="json") if plan else None,
        "digest": plan.digest if plan else None,
        "actions": [
            {
                "kind": KINDS[type(action)],
                "server": action.server,
                "summary": summary(action),
                "reason": action.reason,
                "changes": [_change(change) for change in action.changes] if isinstance(action, Update) else [],
            }
            for action in (plan.actions if plan else ())
        ],
        "held": [
            {"server": held.server, "summary": held.summary, "reason": held.reason}
            for held in (plan.held if plan else ())
        ],
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


def problem_record(problem: Problem) -> Record:
    return problem_document(problem).model_dump(mode="json")


def _change(change: FieldChange) -> Record:
    return {"path": change.path, "before": change.before, "after": change.after}
