"""`catwalk engine`: the embedded Machines API alone, for other programs and their tests."""

import json
import os
from pathlib import Path
from secrets import token_urlsafe

import anyio
import click

from reconciler.cli.machine_environment import RUNNER_IMAGE_NAME, machine_environment, package_cache, runner_command
from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.signals import until_told_to_stop
from reconciler.engine import Engine, EngineSettings, run_engine
from reconciler.engine.settings import RateLimits

DEFAULT_PORT = 4280
"""Where Fly serves its own API inside a private network."""


@click.command("engine")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes any.")
@click.option("--proxy-port", type=click.IntRange(0, 65535), default=0, help="The Flycast stand-in; 0 takes any.")
@click.option("--runtime", type=click.Choice(["process"]), default="process", show_default=True, expose_value=False)
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
def command(*, port: int, proxy_port: int, state_dir: Path, token: str, as_json: bool) -> None:
    """Serve a Machines API whose machines are processes on this computer.

    Point a client at it: FLY_FLAPS_BASE_URL for flyctl and fly-go, CATWALK_FLY_API_URL for Catwalk. Requests to the
    proxy with `Host: APP.flycast` reach the machines of APP.
    """
    environment = dict(os.environ)
    settings = EngineSettings(
        state_dir=state_dir,
        token=token or token_urlsafe(32),
        api_port=port,
        proxy_port=proxy_port,
        images={RUNNER_IMAGE_NAME: runner_command()},
        base_environment=machine_environment(environment),
        cache_dir=package_cache(environment),
        rate_limits=RateLimits(),
    )
    anyio.run(_serve, settings, as_json, not token, backend_options={"use_uvloop": True})


async def _serve(settings: EngineSettings, as_json: bool, show_token: bool) -> None:
    async with run_engine(settings) as engine:
        _introduce(engine, as_json=as_json, show_token=show_token)
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
