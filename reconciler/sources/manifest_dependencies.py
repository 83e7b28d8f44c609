"""Whether `depends_on` can be followed: every name is declared somewhere, and no server waits for itself.

Both need all manifests of the fleet at once, because a server may depend on one in another file.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from reconciler.core.dependencies import cycles
from reconciler.core.problems import Location, Problem
from reconciler.sources.manifest_servers import ReadServer


def dependency_problems(servers: Sequence[ReadServer]) -> Iterator[Problem]:
    """What is wrong with the dependencies of a fleet whose manifests could all be read."""
    by_name = {server.name: server for server in servers}
    for server in servers:
        for name in server.written.depends_on:
            if name not in by_name:
                yield _unknown(server, name, list(by_name))
    known = {
        name: [other for other in server.written.depends_on if other in by_name] for name, server in by_name.items()
    }
    for circle in cycles(known):
        yield _cycle(circle, by_name)


def _unknown(server: ReadServer, name: str, names: Sequence[str]) -> Problem:
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "declare it, or remove it from `depends_on`"
    message = f"`{server.name}` depends on `{name}`, which no manifest declares"
    return server.problem("unknown-dependency", message, hint, _place(server, name))


def _cycle(circle: Sequence[str], by_name: Mapping[str, ReadServer]) -> Problem:
    server = by_name[circle[0]]
    if len(circle) == 1:
        message = f"`{server.name}` waits for itself"
    else:
        message = f"these servers wait for each other: {' -> '.join(f'`{name}`' for name in (*circle, circle[0]))}"
    following = circle[1] if len(circle) > 1 else circle[0]
    return server.problem("dependency-cycle", message, "remove one of the dependencies", _place(server, following))


def _place(server: ReadServer, name: str) -> Location:
    position = server.written.depends_on.index(name)
    return server.document.place((*server.path, "depends_on", position))
