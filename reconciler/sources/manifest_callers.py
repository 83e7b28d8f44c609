"""Identity providers and limits out of the manifests, and what is wrong with them.

Which groups a provider knows cannot be asked, so that a rule for a group is believed. What cannot be meant is told: a
provider whose users get nothing, one issuer twice, a group of which it is not said whose it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from reconciler.core.gateway_rules import CallerLimits, IdentityProvider
from reconciler.core.problems import Problem
from reconciler.sources.yaml_nodes import Document, Path
from schemas.v1 import identity
from schemas.v1.manifest import Manifest

Read = Sequence[tuple[Document, Manifest]]
PROVIDERS: Path = ("gateway", "auth", "oidc")
LIMITS: Path = ("gateway", "limits")
EVERYBODY = "*"


def providers_of(manifests: Read) -> tuple[IdentityProvider, ...]:
    """The identity providers of all manifests, by name."""
    written = {name: each for _, manifest in manifests for name, each in manifest.gateway.auth.oidc.items()}
    return tuple(
        IdentityProvider(
            name=name,
            issuer=each.issuer,
            audiences=each.audiences,
            scopes=each.scopes,
            server_scopes=tuple(each.server_scopes.items()),
            username_claim=each.username_claim,
            groups_claim=each.groups_claim,
            jwks_url=each.jwks_url,
        )
        for name, each in sorted(written.items())
    )


def limits_of(manifests: Read) -> tuple[CallerLimits, ...]:
    """The limits of all manifests, in their order; those of everybody come last."""
    written = {name: each for _, manifest in manifests for name, each in manifest.gateway.limits.items()}
    names = sorted(written, key=lambda name: name == EVERYBODY)
    return tuple(CallerLimits(name=name, **_stated(written[name])) for name in names)


def _stated(limits: identity.CallerLimits) -> dict[str, int | None]:
    return {
        "requests_per_minute": limits.requests_per_minute,
        "burst": limits.burst,
        "concurrent": limits.concurrent,
        "calls_per_day": limits.calls_per_day,
    }


class Callers:
    """Who can be meant by a name."""

    def __init__(self, manifests: Read) -> None:
        self.tokens = [name for _, manifest in manifests for name in manifest.gateway.auth.tokens]
        self.providers = [name for _, manifest in manifests for name in manifest.gateway.auth.oidc]

    def problem(self, document: Document, path: Path) -> Iterator[Problem]:
        """What is wrong with the name at the end of a path, if anything."""
        name = str(path[-1])
        provider, colon, _ = name.partition(":")
        if name in self.tokens or (colon and provider in self.providers):
            return
        if not self.providers:
            yield _problem(document, path, "unknown-token", f"no token is called `{name}`", self._hint(name))
        elif len(set(self.providers)) > 1 and not colon:
            message = f"it is not said which provider knows the group `{name}`"
            hint = f"write `{self.providers[0]}:{name}`"
            yield _problem(document, path, "whose-group", message, hint)
        elif len(set(self.providers)) > 1:
            message = f"no identity provider is called `{provider}`"
            yield _problem(document, path, "unknown-provider", message, self._hint(provider))

    def _hint(self, name: str) -> str:
        near = get_close_matches(name, [*self.tokens, *self.providers], n=1)
        return f"did you mean `{near[0]}`?" if near else "declare it, or remove the rule"


def caller_problems(manifests: Read, servers: Sequence[str], granted: set[str]) -> Iterator[Problem]:
    """What is wrong with providers and limits. `granted` are the names that access is given to."""
    callers = Callers(manifests)
    yield from _repeated(manifests)
    for document, manifest in manifests:
        for name, provider in manifest.gateway.auth.oidc.items():
            yield from _provider_problems(document, name, callers, granted)
            yield from _scope_problems(document, name, provider.server_scopes, servers)
        for name in manifest.gateway.limits:
            if name != EVERYBODY:
                yield from callers.problem(document, (*LIMITS, name))


def _provider_problems(document: Document, name: str, callers: Callers, granted: set[str]) -> Iterator[Problem]:
    groups = granted - set(callers.tokens)
    is_only = len(set(callers.providers)) == 1
    # A group of which it is not said whose it is may be meant for this one: that is told where it stands.
    if not any(is_only or each.startswith(f"{name}:") or ":" not in each for each in groups):
        hint = f'add `access: {{"{name}:GROUP": …}}`'
        yield _problem(document, (*PROVIDERS, name), "provider-without-access", f"`{name}` opens nothing", hint)


def _scope_problems(
    document: Document, name: str, by_server: Mapping[str, object], servers: Sequence[str]
) -> Iterator[Problem]:
    for pattern in by_server:
        if not any(fnmatchcase(server, pattern) for server in servers):
            path = (*PROVIDERS, name, "server_scopes", pattern)
            yield _problem(document, path, "unknown-server", f"no server fits `{pattern}`", "correct or remove it")


def _repeated(manifests: Read) -> Iterator[Problem]:
    names: dict[str, tuple[Document, Path]] = {}
    issuers: dict[str, tuple[Document, Path]] = {}
    limits: dict[str, tuple[Document, Path]] = {}
    for document, manifest in manifests:
        for name, provider in manifest.gateway.auth.oidc.items():
            path = (*PROVIDERS, name)
            yield from _second(names, name, document, path, "duplicate-provider")
            yield from _second(issuers, provider.issuer, document, (*path, "issuer"), "duplicate-issuer")
        for name in manifest.gateway.limits:
            yield from _second(limits, name, document, (*LIMITS, name), "duplicate-limits")


def _second(
    seen: dict[str, tuple[Document, Path]], name: str, document: Document, path: Path, code: str
) -> Iterator[Problem]:
    first, first_path = seen.setdefault(name, (document, path))
    if (first, first_path) != (document, path):
        message = f"`{name}` stands here and at {first.key_place(first_path)}"
        yield _problem(document, path, code, message, "keep one of the two")


def _problem(document: Document, path: Path, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, location=document.key_place(path))
