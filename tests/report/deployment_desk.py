"""Deployments at the stand-in for GitHub: it keeps them, refuses what GitHub refuses, and ends what GitHub ends."""

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator, ValidationError

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
ADDRESS = re.compile(r"/repos/acme/fleet/deployments(?:/(\d+)/statuses)?")
LONGEST_DESCRIPTION = 140

# REST docs, "Create a deployment", body parameters; other members would be a mistake of ours.
DEPLOYMENT_BODY = {
    "type": "object",
    "required": ["ref"],
    "additionalProperties": False,
    "properties": {
        "ref": {"type": "string"},
        "task": {"type": "string"},
        "auto_merge": {"type": "boolean"},
        "required_contexts": {"type": ["array", "null"], "items": {"type": "string"}},
        "environment": {"type": "string"},
        "description": {"type": ["string", "null"]},
        "transient_environment": {"type": "boolean"},
        "production_environment": {"type": "boolean"},
    },
}
# REST docs, "Create a deployment status", body parameters.
STATUS_BODY = {
    "type": "object",
    "required": ["state"],
    "additionalProperties": False,
    "properties": {
        "state": {"enum": ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]},
        "log_url": {"type": "string", "pattern": "^https?://"},
        "environment_url": {"type": "string", "pattern": "^https?://"},
        "description": {"type": "string"},
        "auto_inactive": {"type": "boolean"},
    },
}


class DeploymentDesk:
    """The deployments of one repository. A token outside `writers` may not write; outside `readers`, not even look."""

    def __init__(self, github, canned) -> None:
        self.github, self.canned = github, canned
        self.deployments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.readers, self.writers = {TOKEN}, {TOKEN}
        self.numbers = itertools.count(1)
        self.calls: list[str] = []
        self.told: list[tuple[str, str, int, object]] = []
        github.routes.append(self.route)

    def states(self, sha: str, environment: str = "acme") -> list[str]:
        """What was accepted for a commit, oldest first."""
        own = {one["id"] for one in self.deployments if (one["sha"], one["environment"]) == (sha, environment)}
        return [one["state"] for one in self.statuses if one["deployment"] in own]

    def route(self, method: str, path: str, headers: Mapping[str, str], body: bytes):
        address, _, query = path.partition("?")
        match = ADDRESS.fullmatch(address)
        if match is None:
            return None
        self.calls.append(method)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        answer = self._refusal(method, token) or self._answer(method, match[1], query, body)
        self.told.append((method, path, answer.status, json.loads(json.dumps(answer.body))))
        return answer

    def _refusal(self, method: str, token: str):
        """GitHub hides what may not be seen, and says what may not be done."""
        if token not in self.readers:
            return self._error(404, "Not Found")
        if method != "GET" and token not in self.writers:
            return self._error(403, "Resource not accessible by personal access token")
        return None

    def _answer(self, method: str, number: str | None, query: str, body: bytes):
        if method == "GET":
            return self._list(number, {name: found[0] for name, found in parse_qs(query).items()})
        wish = json.loads(body)
        try:
            Draft202012Validator(STATUS_BODY if number else DEPLOYMENT_BODY).validate(wish)
        except ValidationError as fault:
            self.github.violations.append(fault.message)
            return self._error(422, fault.message)
        if len(wish.get("description") or "") > LONGEST_DESCRIPTION:
            return self._error(422, "description is too long (maximum is 140 characters)")
        return self._say(int(number), wish) if number else self._create(wish)

    def _list(self, number: str | None, options: dict[str, str]):
        if number is None:
            asked = [(name, options[name]) for name in ("sha", "task", "environment") if name in options]
            found = [one for one in self.deployments if all(one[name] == value for name, value in asked)]
        else:
            found = [one for one in self.statuses if one["deployment"] == int(number)]
        size, page = int(options.get("per_page", "30")), int(options.get("page", "1"))
        return self.canned(200, body=list(reversed(found))[(page - 1) * size : page * size])

    def _create(self, wish: dict[str, Any]):
        """By default GitHub merges first, and refuses while any status of the commit is not a success."""
        if wish["ref"] not in self.github.commits:
            return self._error(422, f"No ref found for: {wish['ref']}")
        if wish.get("auto_merge", True):
            return self.canned(202, body={"message": "Auto-merged main into topic on deployment."})
        if wish.get("required_contexts") != []:
            return self._error(409, f"Conflict: Commit status checks failed for {wish['ref']}.")
        said = {"task": "deploy", "environment": "production", "payload": {}, "description": None, **wish}
        del said["auto_merge"], said["required_contexts"]
        self.deployments.append({**said, "id": next(self.numbers), "sha": wish["ref"]})
        return self.canned(201, body=self.deployments[-1])

    def _say(self, number: int, wish: dict[str, Any]):
        deployment = next((one for one in self.deployments if one["id"] == number), None)
        if deployment is None:
            return self._error(404, "Not Found")
        if wish["state"] == "success" and wish.get("auto_inactive", True):
            self._end_others(deployment)
        self._add(number, {name: value for name, value in wish.items() if name != "auto_inactive"})
        return self.canned(201, body=self.statuses[-1])

    def _end_others(self, deployment: dict[str, Any]) -> None:
        for one in self.deployments:
            is_other = one is not deployment and one["environment"] == deployment["environment"]
            if is_other and not one["transient_environment"] and not one["production_environment"]:
                self._add(one["id"], {"state": "inactive", "description": ""})

    def _add(self, number: int, said: dict[str, Any]) -> None:
        status = {"id": next(self.numbers), "deployment": number, "environment": "", "description": "", **said}
        self.statuses.append({**status, "target_url": said.get("log_url", "")})

    def _error(self, status: int, message: str):
        return self.canned(status, body={"message": message, "documentation_url": "https://docs.github.com/rest"})
