"""A plan for the eyes: what is added, changed and removed, field by field, now and later, and the cost of it.

Secrets appear by name only, because a plan holds nothing else. What will not be done is said as plainly as what will,
and what waits says what it waits for.
"""

from collections.abc import Iterator, Sequence

from rich.text import Text

from reconciler.core.action_words import summary as words
from reconciler.core.actions import (
    Action,
    Create,
    CreateApp,
    Deferred,
    DestroyApp,
    FieldChange,
    Plan,
    PruneRequest,
    Update,
)
from reconciler.core.cost import PRICES_AS_OF, MonthlyCost

LONGEST_VALUE = 100
"""Characters of a field's value that are shown; the JSON form has all of them."""
_STYLES = {"+": "green", "~": "yellow", "-": "red"}


def plan_lines(plan: Plan, before: MonthlyCost, after: MonthlyCost) -> Iterator[Text]:
    """The lines of a plan, from the headline to the digest."""
    yield _headline(plan)
    if plan.actions or plan.deferred:
        yield Text()
    for server in _servers(plan):
        yield from _server_lines(server, plan)
    for held in plan.held:
        yield Text.assemble(("  ! ", "yellow"), (held.server, "bold"), f"  {held.summary}: {held.reason}")
    if plan.prune is not None:
        yield from _prune_lines(plan.prune)
    yield Text()
    yield Text(f"Plan: {summary(plan)}.", style="bold")
    yield Text(_cost_line(before, after), style="dim")
    if plan.actions or plan.deferred:
        yield Text(f"Digest: {plan.digest}", style="dim")


def summary(plan: Plan) -> str:
    """`1 to add, 2 to change, 0 to remove, 5 unchanged`, counted in servers; then what waits and what is held."""
    signs = [_sign(_all_actions(server, plan)) for server in _servers(plan)]
    counts = f"{signs.count('+')} to add, {signs.count('~')} to change, {signs.count('-')} to remove"
    later = f", {_counted(len(plan.deferred), 'step')} for later" if plan.deferred else ""
    return f"{counts}, {len(plan.unchanged)} unchanged{later}" + (f", {len(plan.held)} held" if plan.held else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _headline(plan: Plan) -> Text:
    revision = plan.revision
    if plan.actions:
        text = " will change to what is asked for by "
    elif plan.deferred:
        text = " has nothing to do now on its way to what is asked for by "
    else:
        text = " is what is asked for by "
    place = f"{revision.branch} {revision.short} {revision.subject}" if revision.committed else revision.subject
    return Text.assemble("Fleet ", (plan.fleet, "bold"), text, (place.strip(), "cyan"))


def _servers(plan: Plan) -> list[str]:
    return sorted({action.server for action in (*plan.actions, *(waiting.action for waiting in plan.deferred))})


def _all_actions(server: str, plan: Plan) -> list[Action]:
    every = (*plan.actions, *(waiting.action for waiting in plan.deferred))
    return [action for action in every if action.server == server]


def _sign(actions: Sequence[Action]) -> str:
    if any(isinstance(action, DestroyApp) for action in actions):
        return "-"
    return "+" if any(isinstance(action, CreateApp) for action in actions) else "~"


def _server_lines(server: str, plan: Plan) -> Iterator[Text]:
    sign = _sign(_all_actions(server, plan))
    yield Text.assemble((f"  {sign} ", _STYLES[sign]), (server, "bold"))
    shown: set[tuple[FieldChange, ...]] = set()
    for action in plan.actions:
        if action.server == server:
            yield from _action_lines(action, "      ", shown)
    groups: dict[str, list[Deferred]] = {}
    for found in plan.deferred:
        if found.action.server == server:
            groups.setdefault(_when(found), []).append(found)
    for when, group in groups.items():
        yield Text.assemble("      ", (f"{when}:", "cyan"))
        for found in group:
            yield from _action_lines(found.action, "        ", shown)


def _when(found: Deferred) -> str:
    return f"then, when {found.until}" if found.not_before is None else f"not before {found.until}"


def _action_lines(action: Action, indent: str, shown: set[tuple[FieldChange, ...]]) -> Iterator[Text]:
    """The action and its fields; fields that another machine of the server showed already are not shown again."""
    yield Text.assemble(indent, words(action), (f"  ({action.reason})", "dim"))
    if isinstance(action, Create | Update) and action.changes and action.changes not in shown:
        shown.add(action.changes)
        for change in action.changes:
            yield _change_line(change, indent)


def _change_line(change: FieldChange, indent: str) -> Text:
    before, after = change.before or "(absent)", change.after or "(absent)"
    return Text.assemble(
        f"{indent}    ",
        (change.path, "bold"),
        ": ",
        (_cut(before), "red"),
        " -> ",
        (_cut(after), "green"),
    )


def _prune_lines(request: PruneRequest) -> Iterator[Text]:
    yield Text.assemble(("  ! ", "red"), ("Nothing is removed: ", "bold"), request.reason)
    yield Text(f"      apps: {', '.join(request.apps)}")
    yield Text.assemble("      to remove them: ", (request.command, "cyan"))


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"


def _cost_line(before: MonthlyCost, after: MonthlyCost) -> str:
    unpriced = f"; without a price: {', '.join(after.unpriced)}" if after.unpriced else ""
    return (
        f"Cost on Fly, all awake all month: ${before.awake:.2f} before, ${after.awake:.2f} after "
        f"(prices of {PRICES_AS_OF}{unpriced})"
    )
