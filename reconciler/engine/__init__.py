"""The embedded engine: a Machines-API-compatible server that runs machines as local processes.

It lets everything that Catwalk does on Fly be done on one computer with no account, and it is the ground that the Fly
client is proven on: what passes here works there. It shares nothing with `reconciler.fly`, not even a model, so that a
misunderstanding cannot cancel itself out.

    async with run_engine(EngineSettings(state_dir=path, token=token, images=images)) as engine:
        engine.api_url, engine.proxy_port, engine.token

`EngineSettings` says how, `Timings` how fast, `RateLimits` how often. The API and the proxy are described in README.md
beside this file.
"""

from reconciler.engine.engine import Engine, run_engine
from reconciler.engine.images import ImageTags
from reconciler.engine.settings import EngineSettings, ForeignLease, Rate, RateLimits, Timings
from reconciler.engine.simulated import Behaviour
from reconciler.engine.simulation import Simulation

__all__ = [
    "Behaviour",
    "Engine",
    "EngineSettings",
    "ForeignLease",
    "ImageTags",
    "Rate",
    "RateLimits",
    "Simulation",
    "Timings",
    "run_engine",
]
