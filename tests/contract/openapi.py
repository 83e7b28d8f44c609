"""Fly's own OpenAPI document as the judge of answers, and the one table of the places where the live API differs.

The document is validated with what it says. Where it says nothing (19 operations declare no body of success) or says
what the live API does not do, the table below says what is expected instead, and why.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema

OPENAPI = Path(__file__).resolve().parents[3] / "shared" / "data" / "machines-openapi.json"

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A value that the document types otherwise."""

    place: str
    """A pattern for the JSON path of the value in the answer."""
    shape: Schema
    """What is accepted there."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An answer that has the content of the document in another form."""

    operation: str
    """Method and template. The document's operationIds do not identify: `Machines_update_metadata` stands twice."""
    shape: Schema
    """The form on the wire."""
    documented: Callable[[Any], Any]
    """From the form on the wire to the one that the document shows."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of success of an operation for which the document declares none."""

    operation: str
    shape: Schema | None
    """None means no body at all."""
    reason: str


LEASE = "/apps/{app_name}/machines/{machine_id}/lease"
MACHINE = "/apps/{app_name}/machines/{machine_id}"
OBJECT: Schema = {"type": "object"}
OK: Schema = {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]}
ENVELOPE: Schema = {
    "type": "object",
    "properties": {"status": {"const": "success"}, "data": {"type": "object", "required": ["expires_at", "owner"]}},
    "required": ["status", "data"],
    "additionalProperties": False,
}
CAPITALS: Schema = {
    "type": "object",
    "required": ["Regions", "Nearest"],
    "additionalProperties": False,
    "properties": {"Regions": {"type": "array"}, "Nearest": {"type": "string"}},
}
STARTED: Schema = {"type": "object", "required": ["previous_state"]}
CREATED: Schema = {"type": "object", "required": ["id", "created_at"]}
NO_BODY_DECLARED = "the document declares no body"


def _lowered(body: Mapping[str, object]) -> dict[str, object]:
    return {key.lower(): value for key, value in body.items()}


DEVIATIONS: tuple[Field | Form | Body, ...] = (
    Field(
        place=r"\$(\[\d+\])?(\.config|\[\d+\]\.user_config|\.user_config)\.services\[\d+\]\.autostop",
        shape={"type": "boolean"},
        reason="off and stop read back as booleans, the document has a word (fly.md 5.4)",
    ),
    Field(place=r".*", shape={"type": "null"}, reason="Go writes what is empty or unset as null (fly.md 5.4)"),
    Form(operation=f"GET {LEASE}", shape=ENVELOPE, documented=lambda b: b["data"], reason="envelope (fly.md 4.2)"),
    Form(operation=f"POST {LEASE}", shape=ENVELOPE, documented=lambda b: b["data"], reason="envelope (fly.md 4.2)"),
    Form(operation="GET /platform/regions", shape=CAPITALS, documented=_lowered, reason="capitals (fly.md 4.5)"),
    Body(operation="POST /apps", shape=CREATED, reason="the newer document has one (fly.md 2.1)"),
    Body(operation="DELETE /apps/{app_name}", shape=None, reason=NO_BODY_DECLARED),
    Body(operation="DELETE /apps/{app_name}/certificates/{hostname}", shape=None, reason=NO_BODY_DECLARED),
    Body(operation="DELETE /apps/{app_name}/ip_assignments/{ip}", shape=None, reason=NO_BODY_DECLARED),
    Body(operation=f"DELETE {MACHINE}", shape=OK, reason="fly.md 4.2"),
    Body(operation=f"POST {MACHINE}/cordon", shape=OBJECT, reason=NO_BODY_DECLARED),
    Body(operation=f"DELETE {LEASE}", shape=OBJECT, reason=NO_BODY_DECLARED),
    Body(operation=f"PUT {MACHINE}/metadata", shape=None, reason="fly.md 4.2"),
    Body(operation=f"PATCH {MACHINE}/metadata", shape=None, reason="fly.md 4.2"),
    Body(operation=f"POST {MACHINE}/metadata/{{key}}", shape=None, reason="fly.md 4.2"),
    Body(operation=f"DELETE {MACHINE}/metadata/{{key}}", shape=None, reason="fly.md 4.2"),
    Body(operation=f"POST {MACHINE}/restart", shape=OK, reason="fly.md 4.2"),
    Body(operation=f"POST {MACHINE}/signal", shape=OBJECT, reason=NO_BODY_DECLARED),
    Body(operation=f"POST {MACHINE}/start", shape=STARTED, reason="fly.md 4.2"),
    Body(operation=f"POST {MACHINE}/stop", shape=OK, reason="fly.md 4.2"),
    Body(operation=f"POST {MACHINE}/suspend", shape=OBJECT, reason=NO_BODY_DECLARED),
    Body(operation=f"POST {MACHINE}/uncordon", shape=OBJECT, reason=NO_BODY_DECLARED),
    Body(operation="POST /apps/{app_name}/secretkeys/{secret_name}/verify", shape=None, reason=NO_BODY_DECLARED),
    Body(operation="POST /apps/{app_name}/volumes/{volume_id}/snapshots", shape=OBJECT, reason=NO_BODY_DECLARED),
)
FIELDS = tuple(row for row in DEVIATIONS if isinstance(row, Field))
FORMS = {row.operation: row for row in DEVIATIONS if isinstance(row, Form)}
BODIES = {row.operation: row for row in DEVIATIONS if isinstance(row, Body)}

REFUSAL: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
    "anyOf": [{"required": ["error"]}, {"required": ["message"]}],
}
"""Both error envelopes (fly.md 2.3). The document knows the first and only for some statuses."""

UNDOCUMENTED = (r"/api/v1/apps/[^/]+/logs", r"/v1/apps/[^/]+/network_policies")
"""Routes of the live API that no document has (fly.md 2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    name: str
    method: str
    path: re.Pattern[str]
    responses: Mapping[str, Any]

    def answers(self, request: httpx.Request) -> bool:
        return self.method == request.method and self.path.fullmatch(request.url.path) is not None

    @property
    def success(self) -> str:
        """The status of success."""
        return next(status for status in self.responses if status.startswith("2"))

    @property
    def declares_success(self) -> bool:
        return bool(self.responses[self.success].get("content"))


class Document:
    """The official OpenAPI document, as a judge of answers."""

    def __init__(self, path: Path = OPENAPI) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        self.components = document["components"]
        self.judged: set[str] = set()
        """The operations of which an answer was held to a schema."""
        self.operations = [
            Operation(
                name=f"{method.upper()} {template}",
                method=method.upper(),
                path=re.compile("/v1" + re.sub(r"\{[^}]+\}", "[^/]+", template)),
                responses=operation["responses"],
            )
            for template, methods in document["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict) and "responses" in operation
        ]

    def judge(self, response: httpx.Response) -> None:
        """Raises: AssertionError: the answer is neither as documented nor as the table of deviations says."""
        operation = next((one for one in self.operations if one.answers(response.request)), None)
        if operation is None:
            self._judge_stranger(response)
        elif response.is_success:
            self._judge_success(operation, response)
        else:
            self._judge_refusal(operation, response)

    def _judge_stranger(self, response: httpx.Response) -> None:
        path = response.request.url.path
        known = any(re.fullmatch(pattern, path) for pattern in UNDOCUMENTED)
        assert known or response.status_code == 404, f"an answer that nobody documents: {path}"

    def _judge_success(self, operation: Operation, response: httpx.Response) -> None:
        assert str(response.status_code) in operation.responses, f"{operation.name}: {response.status_code}"
        if body := BODIES.get(operation.name):
            self._judge_undeclared(body, response)
        else:
            found = response.json()
            if form := FORMS.get(operation.name):
                self._validate(operation.name, form.shape, found)
                found = form.documented(found)
            content = operation.responses[str(response.status_code)]["content"]
            self._validate(operation.name, next(iter(content.values()))["schema"], found)
        self.judged.add(operation.name)

    def _judge_undeclared(self, body: Body, response: httpx.Response) -> None:
        if body.shape is None:
            assert not response.content, f"{body.operation}: an unexpected body"
        else:
            self._validate(body.operation, body.shape, response.json())

    def _judge_refusal(self, operation: Operation, response: httpx.Response) -> None:
        if not response.content or response.headers.get("content-type", "").startswith("text/plain"):
            # Some 409s have no body, and some of the platform's texts are no JSON (fly.md 7.2).
            return
        found = response.json()
        self._validate(operation.name, REFUSAL, found)
        content = operation.responses.get(str(response.status_code), {}).get("content")
        if content:
            self._validate(operation.name, next(iter(content.values()))["schema"], found)

    def _validate(self, place: str, schema: Schema, found: object) -> None:
        validator = jsonschema.Draft202012Validator({**schema, "components": self.components})
        errors = [error for error in validator.iter_errors(found) if not _is_known(error)]
        assert not errors, f"{place}: {errors[0].json_path}: {errors[0].message}"


def _is_known(error: jsonschema.ValidationError) -> bool:
    """Whether a row of the table says so."""
    rows = (row for row in FIELDS if re.fullmatch(row.place, error.json_path))
    return any(jsonschema.Draft202012Validator(row.shape).is_valid(error.instance) for row in rows)
