"""The rules of the gateway out of those of all manifests, and what is wrong with them.

A token that opens nothing and a rule for nobody are mistakes, not settings: they are told, because access that somebody
believes to have given or taken away must be so.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from reconciler.core.gateway_rules import GatewayRules, GroupGrant, NamePrefix, TokenGrant
from reconciler.core.problems import Problem
from reconciler.sources.manifest_callers import Callers, Read, caller_problems, limits_of, providers_of
from reconciler.sources.yaml_nodes import Document, Path
from schemas.v1.manifest import Manifest

TOKENS: Path = ("gateway", "auth", "tokens")
ACCESS: Path = ("gateway", "access")
PREFIX: Path = ("gateway", "aggregate", "prefix")


def gateway_rules(manifests: Read) -> GatewayRules:
    """The rules of all manifests together. Access to one token may stand in several of them."""
    tokens = {name: token.sha256 for _, manifest in manifests for name, token in manifest.gateway.auth.tokens.items()}
    grants = (
        TokenGrant(name=name, sha256=sha256, servers=_servers(manifests, name))
        for name, sha256 in sorted(tokens.items())
    )
    groups = (
        GroupGrant(name=name, servers=_servers(manifests, name)) for name in sorted(_granted(manifests) - tokens.keys())
    )
    return GatewayRules(
        tokens=tuple(grants),
        providers=providers_of(manifests),
        groups=tuple(groups),
        limits=limits_of(manifests),
        prefix=_prefix(manifests),
    )


def _prefix(manifests: Read) -> NamePrefix:
    stated = [manifest.gateway.aggregate.prefix for _, manifest in manifests if _states_prefix(manifest)]
    return NamePrefix(stated[0]) if stated else NamePrefix.ALWAYS


def _states_prefix(manifest: Manifest) -> bool:
    return "prefix" in manifest.gateway.aggregate.model_fields_set


def _granted(manifests: Read) -> set[str]:
    """The names that some access is given to."""
    return {name for _, manifest in manifests for name in (*manifest.gateway.access, *_own_grants(manifest))}


def _servers(manifests: Read, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    servers: dict[str, tuple[str, ...]] = {
        server: written.access[name]
        for _, manifest in manifests
        for server, written in manifest.servers.items()
        if name in written.access
    }
    for _, manifest in manifests:
        for pattern, tools in manifest.gateway.access.get(name, {}).items():
            servers.setdefault(pattern, tools)
    return tuple(servers.items())


def gateway_problems(manifests: Read, servers: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the rules of a fleet whose manifests could all be read."""
    yield from _repeated(manifests)
    yield from _contradictory(manifests)
    callers, granted = Callers(manifests), _granted(manifests)
    yield from caller_problems(manifests, servers, granted)
    for document, manifest in manifests:
        for name in manifest.gateway.auth.tokens:
            if name not in granted:
                message = f"the token `{name}` opens nothing"
                yield _problem(document, (*TOKENS, name), "token-without-access", message, f"add `access: {name}: …`")
        yield from _own_problems(document, manifest, callers)
        for name, patterns in manifest.gateway.access.items():
            path = (*ACCESS, name)
            yield from callers.problem(document, path)
            for pattern in patterns:
                if not any(fnmatchcase(server, pattern) for server in servers):
                    message = f"no server fits `{pattern}`"
                    yield _unknown(document, (*path, pattern), "unknown-server", message, _near(pattern, servers))


def _own_grants(manifest: Manifest) -> Iterator[str]:
    for written in manifest.servers.values():
        yield from written.access


def _own_problems(document: Document, manifest: Manifest, callers: Callers) -> Iterator[Problem]:
    """What is wrong with the access that servers state themselves."""
    for server, written in manifest.servers.items():
        for name in written.access:
            path = ("servers", server, "access", name)
            wrong = list(callers.problem(document, path))
            yield from wrong
            if not wrong and server in manifest.gateway.access.get(name, {}):
                other = document.key_place((*ACCESS, name, server))
                message = f"what `{name}` may use of `{server}` stands here and at {other}"
                yield _problem(document, path, "duplicate-access", message, "keep one of the two")


def _repeated(manifests: Read) -> Iterator[Problem]:
    first: dict[str, Document] = {}
    for document, manifest in manifests:
        for name in manifest.gateway.auth.tokens:
            path = (*TOKENS, name)
            other = first.setdefault(name, document)
            if other is not document:
                message = f"the token `{name}` is declared here and at {other.key_place(path)}"
                yield _problem(document, path, "duplicate-token", message, "rename or remove one of the two")


def _contradictory(manifests: Read) -> Iterator[Problem]:
    stating = [(document, manifest) for document, manifest in manifests if _states_prefix(manifest)]
    for document, manifest in stating[1:]:
        first, other = stating[0]
        if manifest.gateway.aggregate.prefix != other.gateway.aggregate.prefix:
            message = f"`prefix` is another one here than at {first.key_place(PREFIX)}"
            yield _problem(document, PREFIX, "contradictory-prefix", message, "state it once for the fleet")


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else ""


def _unknown(document: Document, path: Path, code: str, message: str, near: str) -> Problem:
    return _problem(document, path, code, message, near or "declare it, or remove the rule")


def _problem(document: Document, path: Path, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, location=document.key_place(path))
