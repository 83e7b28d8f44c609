"""Machines, events and leases as JSON, in the field names of the OpenAPI document."""

from reconciler.engine import images
from reconciler.engine.clock import NANOSECONDS, rfc3339
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import Event, Lease, Machine


def machine_json(machine: Machine, inventory: Inventory, *, nonce: str = "") -> dict[str, object]:
    """A whole machine. `nonce` only for the caller who just took the lease."""
    checks = [
        {
            "name": check.name,
            "status": str(check.status),
            "output": check.output,
            "updated_at": rfc3339(check.updated_ns),
        }
        for check in inventory.checks(machine.id).values()
    ]
    rendered = {
        **summary_json(machine),
        "config": machine.config.read_back(),
        "checks": checks,
        "events": [event_json(event) for event in machine.events],
        "host_status": "ok",
        "cordoned": machine.cordoned,
    }
    return {**rendered, "nonce": nonce} if nonce else rendered


def summary_json(machine: Machine) -> dict[str, object]:
    reference = images.parse(machine.config.image)
    return {
        "id": machine.id,
        "name": machine.name,
        "state": str(machine.state),
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.instance_id,
        "private_ip": machine.private_ip,
        "image_ref": {
            "registry": reference.registry,
            "repository": reference.repository,
            "tag": reference.tag,
            "digest": machine.image_digest or reference.digest,
        },
        "created_at": rfc3339(machine.created_ns),
        "updated_at": rfc3339(machine.updated_ns),
    }


def event_json(event: Event) -> dict[str, object]:
    rendered: dict[str, object] = {
        "id": event.id,
        "type": event.type,
        "status": event.status,
        "source": event.source,
        "timestamp": event.timestamp_ms,
    }
    return {**rendered, "request": event.request} if event.request else rendered


def lease_overview(lease: Lease) -> dict[str, object]:
    """What a list with `include_leases` shows; never the nonce."""
    return {
        "owner": lease.owner,
        "expires_at": lease.expires_ns // NANOSECONDS,
        "description": lease.description,
    }


def lease_json(machine: Machine, lease: Lease, *, with_nonce: bool) -> dict[str, object]:
    """The envelope that the live API and fly-go use; the OpenAPI document shows the inner object alone."""
    data: dict[str, object] = {
        "expires_at": lease.expires_ns // NANOSECONDS,
        "owner": lease.owner,
        "description": lease.description,
        "version": machine.instance_id,
    }
    return {"status": "success", "data": {**data, "nonce": lease.nonce} if with_nonce else data}
