"""`catwalk engine`: the embedded Machines API alone, for other programs and their tests."""

import json
import os
from pathlib import Path
from secrets import token_urlsafe
from typing import Literal, TypedDict, Unpack

import anyio
import click

from reconciler.cli.machine_environment import machine_environment, package_cache, runner_command
from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.signals import until_told_to_stop
from reconciler.core.runner import RUNNER_IMAGE_NAME
from reconciler.engine import Engine, EngineSettings, ForeignLease, RateLimits, Simulation, run_engine

DEFAULT_PORT = 4280
"""Where Fly serves its own API inside a private network."""


class Options(TypedDict):
    port: int
    proxy_port: int
    runtime: Literal["process", "simulated"]
    clock: Literal["running", "standing"]
    control: bool
    rate_limits: bool
    foreign_lease: str
    state_dir: Path
    token: str
    as_json: bool


@click.command("engine")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes any.")
@click.option("--proxy-port", type=click.IntRange(0, 65535), default=0, help="The Flycast stand-in; 0 takes any.")
@click.option(
    "--runtime",
    type=click.Choice(["process", "simulated"]),
    default="process",
    show_default=True,
    help="Real processes, or machines that are only a state, by the thousand.",
)
@click.option(
    "--clock",
    type=click.Choice(["running", "standing"]),
    default="running",
    show_default=True,
    help="Of a simulation; one that stands is advanced through /_engine/clock.",
)
@click.option("--control", is_flag=True, help="Serve /_engine/: injected faults, the clock, the simulation's script.")
@click.option("--rate-limits/--no-rate-limits", default=True, show_default=True, help="Answer 429 where Fly would.")
@click.option(
    "--foreign-lease",
    type=click.Choice([choice.value for choice in ForeignLease]),
    default=ForeignLease.WAITS.value,
    show_default=True,
    help="Whether a stop or destroy under somebody else's lease waits for its end or is a 409 at once.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".catwalk") / "engine",
    show_default=True,
    help="Where machines, apps and secrets are kept.",
)
@click.option("--token", envvar="FLY_API_TOKEN", default="", help="What clients must present; made up if not given.")
@AS_JSON
@debug
def command(**options: Unpack[Options]) -> None:
    """Serve a Machines API whose machines are processes on this computer, or simulated.

    Point a client at it: FLY_FLAPS_BASE_URL for flyctl and fly-go, CATWALK_FLY_API_URL for Catwalk. Requests to the
    proxy with `Host: APP.flycast` reach the machines of APP.
    """
    anyio.run(_serve, options, backend_options={"use_uvloop": True})


def _settings(options: Options) -> EngineSettings:
    environment = dict(os.environ)
    return EngineSettings(
        state_dir=options["state_dir"],
        token=options["token"] or token_urlsafe(32),
        api_port=options["port"],
        proxy_port=options["proxy_port"],
        images={RUNNER_IMAGE_NAME: runner_command()},
        base_environment=machine_environment(environment),
        cache_dir=package_cache(environment),
        control=options["control"],
        foreign_lease=ForeignLease(options["foreign_lease"]),
        rate_limits=RateLimits() if options["rate_limits"] else None,
    )


def _simulation(options: Options) -> Simulation | None:
    """Raises: click.UsageError: real processes cannot live in a time that stands still."""
    if options["runtime"] == "simulated":
        return Simulation(running=options["clock"] == "running")
    if options["clock"] == "standing":
        raise click.UsageError("--clock standing needs --runtime simulated")
    return None


async def _serve(options: Options) -> None:
    async with run_engine(_settings(options), simulation=_simulation(options)) as engine:
        _introduce(engine, as_json=options["as_json"], show_token=not options["token"])
        await until_told_to_stop()


def _introduce(engine: Engine, *, as_json: bool, show_token: bool) -> None:
    """A token that was made up is printed once, because nobody could use the engine otherwise; a given one never is."""
    if as_json:
        record = {"event": "ready", "api": engine.api_url, "proxy": engine.proxy_url}
        click.echo(json.dumps(record | ({"token": engine.token} if show_token else {})))
        return
    click.echo(f"Machines API  {engine.api_url}\nFlycast       {engine.proxy_url}")
    if show_token:
        click.echo(f"Token         {engine.token}")
    click.echo("Ctrl-C stops it and its machines.")
