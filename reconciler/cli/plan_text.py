"""A plan for the eyes: what is added, changed and removed, field by field, with the cost before and after.

Secrets appear by name only, because a plan holds nothing else. What will not be done is said as plainly as what will.
"""

from collections.abc import Iterator
from itertools import groupby

from rich.text import Text

from reconciler.core.action_words import summary as words
from reconciler.core.actions import Action, CreateApp, DestroyApp, FieldChange, Plan, Update
from reconciler.core.cost import PRICES_AS_OF, MonthlyCost

LONGEST_VALUE = 100
"""Characters of a field's value that are shown; the JSON form has all of them."""


def plan_lines(plan: Plan, before: MonthlyCost, after: MonthlyCost) -> Iterator[Text]:
    """The lines of a plan, from the headline to the digest."""
    yield _headline(plan)
    if plan.actions:
        yield Text()
    for server, actions in groupby(plan.actions, key=lambda action: action.server):
        yield from _server_lines(server, list(actions))
    for held in plan.held:
        yield Text.assemble(("  ! ", "yellow"), (held.server, "bold"), f"  {held.summary}: {held.reason}")
    yield Text()
    yield Text(f"Plan: {summary(plan)}.", style="bold")
    yield Text(_cost_line(before, after), style="dim")
    if not plan.empty:
        yield Text(f"Digest: {plan.digest}", style="dim")


def summary(plan: Plan) -> str:
    """`1 to add, 2 to change, 0 to remove, 5 unchanged`, counted in servers."""
    signs = [_sign(list(actions)) for _, actions in groupby(plan.actions, key=lambda action: action.server)]
    counts = f"{signs.count('+')} to add, {signs.count('~')} to change, {signs.count('-')} to remove"
    return f"{counts}, {len(plan.unchanged)} unchanged" + (f", {len(plan.held)} held" if plan.held else "")


def _headline(plan: Plan) -> Text:
    revision = plan.revision
    text = " is what is asked for by " if plan.empty else " will change to what is asked for by "
    place = f"{revision.branch} {revision.short} {revision.subject}" if revision.committed else revision.subject
    return Text.assemble("Fleet ", (plan.fleet, "bold"), text, (place.strip(), "cyan"))


def _sign(actions: list[Action]) -> str:
    if any(isinstance(action, DestroyApp) for action in actions):
        return "-"
    return "+" if any(isinstance(action, CreateApp) for action in actions) else "~"


def _server_lines(server: str, actions: list[Action]) -> Iterator[Text]:
    sign = _sign(actions)
    yield Text.assemble((f"  {sign} ", _STYLES[sign]), (server, "bold"))
    for action in actions:
        yield Text.assemble("      ", words(action), (f"  ({action.reason})", "dim"))
        if isinstance(action, Update):
            yield from map(_change_line, action.changes)


_STYLES = {"+": "green", "~": "yellow", "-": "red"}


def _change_line(change: FieldChange) -> Text:
    before, after = change.before or "(absent)", change.after or "(absent)"
    return Text.assemble(
        "          ",
        (change.path, "bold"),
        ": ",
        (_cut(before), "red"),
        " -> ",
        (_cut(after), "green"),
    )


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"


def _cost_line(before: MonthlyCost, after: MonthlyCost) -> str:
    unpriced = f"; without a price: {', '.join(after.unpriced)}" if after.unpriced else ""
    return (
        f"Cost on Fly, all awake all month: ${before.awake:.2f} before, ${after.awake:.2f} after "
        f"(prices of {PRICES_AS_OF}{unpriced})"
    )
