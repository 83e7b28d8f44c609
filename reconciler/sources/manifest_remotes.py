"""What is wrong with a server that somebody else runs, and what it becomes."""

from collections.abc import Iterator
from typing import Final

from reconciler.core.problems import Problem
from reconciler.core.remotes import ClientGrant, RemoteProgram
from reconciler.sources.manifest_servers import ReadServer
from schemas.v1.remotes import Remote, named_secrets

_FOR_MACHINES: Final = frozenset(
    {"args", "command", "entrypoint", "env", "files", "regions", "resolve_as_of", "scale", "sessions", "transport"}
    | {"vm"}
)
"""What says something about a machine, and so nothing about a server without one."""


def remote_program(written: Remote) -> RemoteProgram:
    """What a remote server without problems is."""
    oauth = written.oauth
    grant = (
        ClientGrant(
            token_url=oauth.token_url,
            client_id=oauth.client_id,
            client_secret=oauth.client_secret,
            scopes=oauth.scopes,
            method=oauth.method,
        )
        if oauth is not None
        else None
    )
    return RemoteProgram(url=written.url, headers=tuple(sorted(written.headers.items())), grant=grant)


def remote_problems(server: ReadServer, written: Remote) -> Iterator[Problem]:
    """What is wrong with a remote server whose fields are each well formed."""
    used: set[str] = set()
    for path, template in _templates(written):
        for name in named_secrets(template):
            used.add(name)
            if name not in server.written.secrets:
                message = f"`{'.'.join(path)}` names the secret `{name}`, which the server does not declare"
                place = server.document.place((*server.path, *path))
                yield server.problem("undeclared-secret", message, f"add `{name}:` to its `secrets`", place)
    for name in server.written.secrets.keys() - used:
        message = f"nothing of `remote` names the secret `{name}`, so that it reaches nobody"
        place = server.document.key_place((*server.path, "secrets", name))
        yield server.problem("unused-secret", message, f"write `${{{name}}}` where it belongs, or remove it", place)
    for key in sorted(_FOR_MACHINES & server.written.model_fields_set):
        place = server.document.key_place((*server.path, key))
        message = f"`{key}` says nothing about a server that somebody else runs"
        yield server.problem("not-for-remotes", message, "remove it", place)


def _templates(written: Remote) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, template in written.headers.items():
        yield ("remote", "headers", name), template
    if written.oauth is not None:
        yield ("remote", "oauth", "client_id"), written.oauth.client_id
        yield ("remote", "oauth", "client_secret"), written.oauth.client_secret
