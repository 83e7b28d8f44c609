"""Paths of the Machines API, with every part quoted: a name from a manifest must not become a path of its own."""

from urllib.parse import quote

APPS = "/v1/apps"


def part(text: str) -> str:
    """One path segment."""
    return quote(text, safe="")


def app(name: str) -> str:
    return f"{APPS}/{part(name)}"


def machines(app_name: str) -> str:
    return f"{app(app_name)}/machines"


def machine(app_name: str, machine_id: str) -> str:
    return f"{machines(app_name)}/{part(machine_id)}"
