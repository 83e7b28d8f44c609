"""The answers that say no, in the platform's words: status, text, and the envelope of the service that speaks.

Apps and addresses answer `{"message": …}`, machines, secrets and the rest `{"error": …}`: two services behind one host.
A `Refusal` never leaves this room: the router turns it into an answer. Texts are copied from what clients have
recorded, because real clients match on them.
"""

from collections.abc import Mapping
from enum import StrEnum


class Service(StrEnum):
    """Which of the two services answers, and the key of its error text."""

    APPS = "message"
    MACHINES = "error"


class Refusal(Exception):
    def __init__(self, status: int, text: str, *, code: str = "", body: Mapping[str, object] | None = None) -> None:
        """`code` is the machine-readable `status` of the body; `body` replaces the usual envelope."""
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code
        self.body = body

    def rendered(self, service: Service) -> Mapping[str, object]:
        if self.body is not None:
            return self.body
        return {service.value: self.text, **({"status": self.code} if self.code else {})}


def invalid(text: str) -> Refusal:
    return Refusal(400, f"invalid_argument: {text}")


def app_not_found() -> Refusal:
    return Refusal(404, "app not found")


def machine_not_found() -> Refusal:
    return Refusal(404, "machine not found")


def unauthorized(service: Service) -> Refusal:
    return Refusal(401, "Unauthorized" if service is Service.APPS else "Authenticate: token validation error")


def name_taken() -> Refusal:
    text = "Validation failed: Name has already been taken"
    return Refusal(422, text, body={"error": text, "status": "name_taken"})


def name_invalid() -> Refusal:
    text = "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes"
    return Refusal(422, text, body={"error": text})


def machine_name_exists(machine_id: str, name: str) -> Refusal:
    text = f'already_exists: unique machine name violation, machine ID {machine_id} already exists with name "{name}"'
    return Refusal(409, text)


def unknown_image(image: str) -> Refusal:
    return Refusal(
        400,
        f"invalid_argument: failed to get manifest {image}: MANIFEST_UNKNOWN: manifest unknown "
        "(the embedded engine runs only the images it was given)",
    )


def lease_held(machine_id: str, owner: str, expires_at: str) -> Refusal:
    return Refusal(409, lease_text(machine_id, owner, expires_at))


def lease_text(machine_id: str, owner: str, expires_at: str) -> str:
    return f"aborted: machine ID {machine_id} lease currently held by {owner}, expires at {expires_at}"


def version_changed() -> Refusal:
    return Refusal(409, "aborted: machine update failed due to concurrent update: current_version mismatch")


def failed_precondition(text: str) -> Refusal:
    return Refusal(412, f"failed_precondition: {text}")


def deadline(state: str, present: str) -> Refusal:
    return Refusal(408, f"deadline_exceeded: machine failed to reach desired state, {state}, currently {present}")


def unreachable(state: str, present: str) -> Refusal:
    return Refusal(409, f"aborted: machine cannot reach desired state, {state}, from {present}")


def read_only() -> Refusal:
    return Refusal(503, "unavailable: this engine only serves reads")
