"""The policy of a fleet out of those of its manifests, and which servers break it.

A manifest can only ever tighten what another one states: whoever may edit one directory of a repository must not be
able to loosen what holds for all of it. So limits take their least value, a list of what is allowed must fit in every
manifest that has one, and what any manifest denies is denied.
"""

from collections.abc import Iterator, Sequence

from reconciler.core.cost import guest_price
from reconciler.core.problems import Problem
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.signatures import SignatureWay, Ways, together
from reconciler.core.types import Guest
from reconciler.sources.folder_projects import missing_lock
from reconciler.sources.folders import folder_path, in_folder
from reconciler.sources.manifest_servers import ReadServer, scale_of, vm_of
from reconciler.sources.manifest_subjects import fits, subjects
from reconciler.sources.yaml_nodes import Document, Path
from schemas.v1.manifest import Manifest
from schemas.v1.terms import package_parts

Read = Sequence[tuple[Document, Manifest]]
COST: Path = ("policy", "max_monthly_cost")


def strictest_prune(manifests: Sequence[Manifest]) -> PrunePolicy:
    """The least that any manifest states, field by field; the built-in value where none states one."""
    stated, default = [manifest.policy.prune for manifest in manifests], PrunePolicy()
    percents = [prune.max_percent for prune in stated if "max_percent" in prune.model_fields_set]
    counts = [prune.max_count for prune in stated if "max_count" in prune.model_fields_set]
    return PrunePolicy(
        max_percent=min(percents, default=default.max_percent),
        max_count=min(counts, default=default.max_count),
        always_confirm=any(prune.confirm for prune in stated),
    )


def signature_ways(manifests: Sequence[Manifest]) -> Ways:
    """How commits are to be signed; `true` means as GitHub sees it."""
    stated = [manifest.policy.signed_commits for manifest in manifests]
    return together(SignatureWay(one) if isinstance(one, str) else SignatureWay.GITHUB for one in stated if one)


def policy_problems(manifests: Read, servers: Sequence[ReadServer], *, to_be_locked: bool = False) -> Iterator[Problem]:
    """Where a fleet whose manifests could all be read breaks the policy that they state together."""
    if pinned_required(manifests) and not to_be_locked:
        yield from _unpinned(servers)
    for document, manifest in manifests:
        for server in servers:
            yield from _admission_problems(document, manifest, server)
    yield from _cost_problems(manifests, servers)


def policy_warnings(manifests: Read, servers: Sequence[ReadServer]) -> Iterator[Problem]:
    """What works, and what the policy cannot judge."""
    if not pinned_required(manifests):
        yield from _unpinned(servers)
    if any("max_monthly_cost" in manifest.policy.model_fields_set for _, manifest in manifests):
        yield from _unpriced(servers)


def pinned_required(manifests: Read) -> bool:
    """Whether any manifest wants everything pinned."""
    return any(manifest.policy.pinned == "required" for _, manifest in manifests)


def _unpinned(servers: Sequence[ReadServer]) -> Iterator[Problem]:
    for server in servers:
        if server.locked is not None:
            continue  # Whether the lock fits is judged with what the registry says.
        yield from _unlocked(server)
        package, image = server.written.package, server.written.image
        if package and not package_parts(package).version:
            message = f"`{package}` has no version: the newest one runs, today this and tomorrow that"
            place = server.document.place((*server.path, "package"))
            yield server.problem("unpinned-package", message, "pin it with `@VERSION`, or run `catwalk lock`", place)
        if image and "@" not in image:
            message = f"`{image}` has no digest: whatever its tag stands for runs, today this and tomorrow that"
            place = server.document.place((*server.path, "image"))
            hint = "pin it with `@sha256:…`, as `docker buildx imagetools inspect` prints it"
            yield server.problem("unpinned-image", message, hint, place)


def _unlocked(server: ReadServer) -> Iterator[Problem]:
    """A folder whose dependencies nothing pins; a date of its own pins them well enough."""
    written = server.written
    if not written.directory or written.resolve_as_of or server.manifest.defaults.resolve_as_of:
        return
    folder = folder_path(server.document.file, written.directory)
    if lock := missing_lock(in_folder(folder, server.files)):
        message = f"no `{lock}` pins the dependencies in `{folder}`: each machine installs the newest ones of its day"
        place = server.document.place((*server.path, "directory"))
        yield server.problem("unlocked-folder", message, f"commit `{lock}`, or say `resolve_as_of`", place)


def _admission_problems(document: Document, manifest: Manifest, server: ReadServer) -> Iterator[Problem]:
    """What one policy says about the source of one server; folders of the own repository are its own business."""
    names, source = subjects(server), server.source
    policy = manifest.policy
    place = server.document.place((*server.path, source))
    for number, pattern in enumerate(policy.deny):
        if fits(names, pattern):
            message = f"`{names[-1]}` is denied by `{pattern}` at {document.place(('policy', 'deny', number))}"
            yield server.problem("denied-by-policy", message, "choose another one, or ask who owns the policy", place)
    if names and policy.allow and not any(fits(names, pattern) for pattern in policy.allow):
        message = f"`{names[-1]}` fits nothing that is allowed at {document.place(('policy', 'allow'))}"
        yield server.problem("not-allowed-by-policy", message, "choose another one, or have it allowed", place)


def _cost_problems(manifests: Read, servers: Sequence[ReadServer]) -> Iterator[Problem]:
    stated = [(manifest.policy.max_monthly_cost, document) for document, manifest in manifests if document.has(COST)]
    if not stated:
        return
    limit, document = min(stated, key=lambda found: found[0])
    cost = sum(_price(server) or 0 for server in servers)
    if cost > limit:
        yield Problem(
            code="too-expensive",
            message=f"the fleet may cost ${cost:.2f} a month with every machine awake; `max_monthly_cost` is {limit:g}",
            hint="lower `scale.max` or `vm.memory_mb`, remove servers, or raise the limit",
            location=document.place(COST),
        )


def _price(server: ReadServer) -> float | None:
    if server.written.remote is not None:
        return 0.0
    vm = vm_of(server)
    price = guest_price(Guest(cpu_kind=vm.cpu_kind, cpus=vm.cpus, memory_mb=vm.memory_mb))
    return None if price is None else price * scale_of(server).max


def _unpriced(servers: Sequence[ReadServer]) -> Iterator[Problem]:
    for server in servers:
        if _price(server) is None:
            message = f"`max_monthly_cost` leaves out `{server.name}`: Catwalk's table has no price for its size"
            yield server.problem("unknown-price", message, "look it up at Fly", server.place("vm", "cpu_kind"))
