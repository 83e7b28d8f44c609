"""The environment of a machine: what the platform injects, over the app's secrets, over the configuration.

Variables from Fly's documentation ("The Machine Runtime Environment"). Secrets are read here, at the moment of a boot,
and nowhere else: a changed secret reaches a machine with its next start.
"""

from collections.abc import Mapping

from reconciler.engine.records import App, Machine


def environment_of(machine: Machine, app: App, base: Mapping[str, str]) -> dict[str, str]:
    secrets = {} if machine.skip_secrets else {name: secret.value for name, secret in app.secrets.items()}
    return {**base, **(machine.config.env or {}), **secrets, **_platform(machine)}


def _platform(machine: Machine) -> dict[str, str]:
    return {
        "FLY_ALLOC_ID": machine.id,
        "FLY_APP_NAME": machine.app,
        "FLY_IMAGE_REF": machine.config.image,
        "FLY_MACHINE_ID": machine.id,
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_PRIVATE_IP": machine.private_ip,
        "FLY_PROCESS_GROUP": (machine.config.metadata or {}).get("fly_process_group", ""),
        "FLY_REGION": machine.region,
        "FLY_VM_MEMORY_MB": str(machine.config.guest.memory_mb),
        "PRIMARY_REGION": machine.region,
    }
