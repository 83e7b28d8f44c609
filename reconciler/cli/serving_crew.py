"""`catwalk serve --workers N`: what the process does that its workers are behind."""

import sys
from collections.abc import Sequence

from reconciler.cli.crew_metrics import forget
from reconciler.cli.fleet_process import announced
from reconciler.cli.place import make_state
from reconciler.cli.service_settings import require_service
from reconciler.cli.serving import bind, reserve
from reconciler.cli.serving_fleet import Service, endpoint_of, local_url_of
from reconciler.cli.workers import Crew, address_of, run_workers


async def run_crew(service: Service, count: int, arguments: Sequence[str]) -> int:
    """Runs the workers until this process is told to stop. Returns what to exit with.

    Raises:
        CatwalkError: it cannot start: settings are missing, or the port is in use.
    """
    require_service(service.settings, host=service.host)
    # Whoever shares the port of somebody else would not be told, so it is tried alone first.
    bind(service.host, service.port).close()
    with reserve(service.host, service.port, is_shared=True) as holder:
        make_state(service.place)
        forget(service.workers_dir)
        address = address_of(holder, service.host)
        endpoint = endpoint_of(local_url_of(service.host, address[1]))
        with announced(service.place, endpoint):
            crew = Crew(
                command=_command(service, address[1], arguments),
                count=count,
                address=address,
                greeting=endpoint.local_token.encode("ascii"),
            )
            return await run_workers(crew)


def _command(service: Service, port: int, arguments: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "reconciler.cli", "serve", "--as-worker"]
    command += ["--host", service.host, "--port", str(port), "--poll", str(service.poll_s)]
    if service.directory:
        command += ["--directory", service.directory]
    return [*command, *(["--insecure"] if service.insecure else []), *arguments]
