"""A plan of what lies in a directory against what a control plane has in force, for a place that holds no token of Fly.

The control plane tells what is in force (`/api/state`): configurations and digests, no values. Nothing is decrypted
here: a secret counts as changed when its ciphertext does.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, cast

import httpx
from pydantic import ValidationError

from reconciler.core.cost import planned_cost, running_cost
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.plan import plan
from reconciler.core.problems import Problem
from reconciler.core.proposals import ProposedPlan, observed_as_applied
from reconciler.core.resolve import resolve
from reconciler.core.runner import is_runner
from reconciler.core.secret import SecretValue
from reconciler.core.types import DesiredMachine, DesiredServer, Observation, Revision, ServerSpec, Snapshot
from reconciler.errors import EnvironmentFault, SourceError, Unavailable
from reconciler.loop.clock import SystemClock
from reconciler.settings import DEFAULT_RUNNER_IMAGE
from reconciler.sources.sealed import sealed_secrets
from reconciler.web.pulls import StateDocument

TIMEOUT_S: Final = 15.0
LARGEST_STATE_BYTES: Final = 64 * 1024 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Where to ask."""

    url: str
    """`https://HOST`, as people open it."""
    token: SecretValue | None = field(default=None, repr=False)
    """One that the manifest's `gateway.auth` names; reading is all that it is used for."""


def read_state(control_plane: ControlPlane) -> StateDocument:
    """What is in force.

    Raises:
        EnvironmentFault: the address is no https address, or the token is not accepted.
        Unavailable: nobody answers, or not with what was asked for.
    """
    _refuse_plain(control_plane.url)
    headers = {"Accept": "application/json"}
    if control_plane.token is not None:
        headers["Authorization"] = f"Bearer {control_plane.token.reveal()}"
    try:
        with httpx.stream(
            "GET", f"{control_plane.url.rstrip('/')}/api/state", headers=headers, timeout=TIMEOUT_S
        ) as answer:
            _refuse_status(answer.status_code)
            return StateDocument.model_validate_json(b"".join(_bounded(answer)))
    except (httpx.HTTPError, ValidationError) as error:
        raise _unavailable(f"{type(error).__name__}") from error


def planned(
    state: StateDocument, manifests: ManifestSet, files: Mapping[str, bytes], revision: Revision
) -> ProposedPlan:
    """What the manifests would do to what is in force.

    Args:
        state: what is in force.
        manifests: what is proposed.
        files: the files that the manifests were read from, with those of their secrets.
        revision: whose plan it is, for people.
    """
    desired, problems = _desired(state, manifests, files)
    observation = _observation(state)
    snapshot = Snapshot(
        fleet=manifests.fleet,
        revision=revision,
        desired=desired,
        observation=observation,
        blocked=problems,
        owned_apps=frozenset(app.name for app in observation.apps),
        prune=manifests.prune,
    )
    made = plan(snapshot)
    return ProposedPlan(
        number=0,
        revision=revision,
        base=Revision(commit=state.revision.commit, branch=state.revision.branch, source=""),
        plan=made,
        problems=problems,
        warnings=(),
        cost_before=running_cost(observation.machines),
        cost_after=planned_cost(observation.machines, made),
        planned_at=SystemClock().now(),
    )


def refuse_other_fleet(state: StateDocument, manifests: ManifestSet) -> None:
    """Raises: EnvironmentFault: the control plane runs another fleet than the manifests declare."""
    if state.fleet != manifests.fleet:
        raise EnvironmentFault(
            "other-fleet",
            f"the control plane runs the fleet {state.fleet}, and the manifests declare {manifests.fleet}",
            hint="ask the control plane of this fleet; a fleet that changes its name is another fleet",
        )


def _desired(
    state: StateDocument, manifests: ManifestSet, files: Mapping[str, bytes]
) -> tuple[tuple[DesiredServer, ...], tuple[Problem, ...]]:
    image = _runner_image(state)
    found: list[DesiredServer] = []
    problems: list[Problem] = []
    for spec in manifests.specs:
        try:
            found.append(resolve(spec, runner_image=image, secret_digests=_digests(state, spec, files)))
        except SourceError as error:
            problems.append(error.problem)
    return tuple(found), tuple(problems)


def _digests(state: StateDocument, spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, str]:
    """The digest in force of a secret whose ciphertext is in force, and one that no value has for any other."""
    if spec.suspended:
        return {}
    known = {secret.name: secret for server in state.servers if server.name == spec.name for secret in server.secrets}
    return {
        name: known[name].digest
        if name in known and known[name].sealed == sealed
        else hashlib.sha256(f"sealed:{sealed}".encode()).hexdigest()
        for name, sealed in sealed_secrets(spec, files).items()
    }


def _runner_image(state: StateDocument) -> str:
    """The image that the control plane uses: its own setting, which nobody here can know."""
    images = (str(_image(machine.config)) for server in state.servers for machine in server.machines)
    return next((image for image in images if is_runner(image)), DEFAULT_RUNNER_IMAGE)


def _image(config: str) -> object:
    read: object = json.loads(config)
    return cast("dict[str, object]", read).get("image") if isinstance(read, dict) else None


def _observation(state: StateDocument) -> Observation:
    running = [server for server in state.servers if not server.suspended]
    machines = [
        DesiredMachine(
            app=server.app,
            server=server.name,
            name=machine.name,
            region=machine.region,
            config=machine.config,
            digest=machine.digest,
        )
        for server in running
        for machine in server.machines
    ]
    apps = [(server.app, server.app) for server in running]
    return observed_as_applied(state.fleet, apps, machines, state.revision.commit)


def _bounded(answer: httpx.Response) -> Iterator[bytes]:
    size = 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > LARGEST_STATE_BYTES:
            raise _unavailable(f"it sends more than {LARGEST_STATE_BYTES} bytes")
        yield piece


def _refuse_plain(url: str) -> None:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if not address.host or (address.scheme != "https" and address.host not in _LOOPBACK):
        raise EnvironmentFault(
            "bad-control-plane", "the address of the control plane is no https address", hint="give https://HOST"
        )


def _refuse_status(status: int) -> None:
    if status in {401, 403}:
        raise EnvironmentFault(
            "control-plane-refused",
            f"the control plane does not accept the token (status {status})",
            hint="give one that the manifest's gateway.auth names",
        )
    if status != HTTPStatus.OK:
        raise _unavailable(f"status {status}")


def _unavailable(how: str) -> Unavailable:
    return Unavailable(
        "control-plane-unavailable",
        f"the control plane does not tell what is in force: {how}",
        hint="the plan is left out; what was validated counts",
    )
