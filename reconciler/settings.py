"""The settings of one Catwalk process, read once from the environment and handed down as values.

A `CATWALK_` variable that the contract does not know is refused, because a setting that is misspelt and silently
ignored costs an evening. Credentials are held as `SecretValue` and never printed.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault

DEFAULT_FLY_API_URL: Final = "https://api.machines.dev"
DEFAULT_FLY_LOGS_URL: Final = "https://api.fly.io"
DEFAULT_MCP_REGISTRY_URL: Final = "https://registry.modelcontextprotocol.io"
DEFAULT_RUNNER_IMAGE: Final = "registry.fly.io/catwalk-runner:0.1.0"

KNOWN_VARIABLES: Final = frozenset(
    {
        "CATWALK_ALLOWED_SIGNERS",
        "CATWALK_BRANCH",
        "CATWALK_DATABASE_URL",
        "CATWALK_ENVIRONMENT",
        "CATWALK_DIGEST_KEY",
        "CATWALK_FLYCAST_URL",
        "CATWALK_FLY_API_URL",
        "CATWALK_FLY_LOGS_URL",
        "CATWALK_GITHUB_APP_ID",
        "CATWALK_GITHUB_APP_KEY",
        "CATWALK_GITHUB_DEPLOYMENTS",
        "CATWALK_GIT_TOKEN",
        "CATWALK_GPG_KEYS",
        "CATWALK_MCP_REGISTRY_URL",
        "CATWALK_NOTIFY_PRIVATE",
        "CATWALK_NOTIFY_SLACK_URL",
        "CATWALK_NOTIFY_WEBHOOK_SECRET",
        "CATWALK_NOTIFY_WEBHOOK_URL",
        "CATWALK_OUTBOUND_NETWORKS",
        "CATWALK_PUBLIC_URL",
        "CATWALK_REPO_URL",
        "CATWALK_RUNNER_IMAGE",
        "CATWALK_SIGNED_COMMITS",
        "CATWALK_SSH_KEY",
        "CATWALK_SSH_KEY_FILE",
        "CATWALK_STATE_DIR",
        "CATWALK_WEBHOOK_SECRET",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says. Empty text means "not set"."""

    fly_api_token: SecretValue | None = None
    """`FLY_API_TOKEN`: an organization token, with or without its `FlyV1 ` prefix."""
    github_token: SecretValue | None = None
    """`GITHUB_TOKEN`: may read the source repository and write commit statuses there; sent to GitHub alone."""
    github_app_id: str = ""
    """`CATWALK_GITHUB_APP_ID`: the App as which results are written back, in place of `GITHUB_TOKEN`."""
    github_app_key: SecretValue | None = None
    """`CATWALK_GITHUB_APP_KEY`: its private key, as GitHub hands it out, or that in Base64."""
    github_deployments: bool = False
    """`CATWALK_GITHUB_DEPLOYMENTS`: `1` tells of each applied revision as a GitHub deployment too."""
    github_api_url: str = ""
    """`GITHUB_API_URL`: another host for GitHub Enterprise; empty means the one that belongs to the repository."""
    fly_api_url: str = DEFAULT_FLY_API_URL
    """`CATWALK_FLY_API_URL`: the Machines API without `/v1`; the embedded engine has its own."""
    fly_logs_url: str = DEFAULT_FLY_LOGS_URL
    """`CATWALK_FLY_LOGS_URL`: the log service without `/api/v1`."""
    flycast_url: str = ""
    """`CATWALK_FLYCAST_URL`: one `http://HOST:PORT` that stands in for all Flycast names, such as the proxy of
    `catwalk engine`; empty on Fly, where every app has a name of its own."""
    repo_url: str = ""
    """`CATWALK_REPO_URL`: the repository that `catwalk serve` follows. Where it is on GitHub, `serve` and `apply` write
    statuses to its commits."""
    git_token: SecretValue | None = None
    """`CATWALK_GIT_TOKEN`: opens an https repository on a host that is not GitHub; on GitHub in place of
    `GITHUB_TOKEN`."""
    ssh_key: SecretValue | None = None
    """`CATWALK_SSH_KEY`: a private key, as text, that opens an ssh repository."""
    ssh_key_file: Path | None = None
    """`CATWALK_SSH_KEY_FILE`: the file of such a key."""
    branch: str = ""
    """`CATWALK_BRANCH`: the branch to follow; empty follows the repository's own."""
    environment: str = ""
    """`CATWALK_ENVIRONMENT`: whose overlays (`catwalk.NAME.yaml`) are laid over the manifests; empty for none."""
    state_dir: Path | None = None
    """`CATWALK_STATE_DIR`: where Catwalk remembers; empty means `.catwalk` in the followed directory."""
    database_url: str = ""
    """`CATWALK_DATABASE_URL`: empty means SQLite in the state directory."""
    webhook_secret: SecretValue | None = None
    """`CATWALK_WEBHOOK_SECRET`: what GitHub signs its webhooks with; without it none are taken in."""
    outbound_networks: tuple[str, ...] = ()
    """`CATWALK_OUTBOUND_NETWORKS`: networks that are not public and in which identity providers and remote servers may
    be all the same, in CIDR form with commas between. `127.0.0.0/8` also allows plain http on loopback."""
    public_url: str = ""
    """`CATWALK_PUBLIC_URL`: the address of the gateway for clients and people, which statuses link to. Requests for
    another host are refused."""
    digest_key: SecretValue | None = None
    """`CATWALK_DIGEST_KEY`: the key by which secrets are compared, 32 bytes in hexadecimal or Base64, for processes
    that share a database and no state directory; empty keeps one in the state directory."""
    signed_commits: str = ""
    """`CATWALK_SIGNED_COMMITS`: `ssh`, `gpg` or `github` refuses commits that nobody trusted signed; `off` or empty
    leaves it to the manifests."""
    allowed_signers: Path | None = None
    """`CATWALK_ALLOWED_SIGNERS`: the SSH keys whose commits are applied, as `ssh-keygen` has them."""
    gpg_keys: Path | None = None
    """`CATWALK_GPG_KEYS`: public OpenPGP keys whose commits are applied, as `gpg --export` writes them."""
    notify_webhook_url: SecretValue | None = None
    """`CATWALK_NOTIFY_WEBHOOK_URL`: is told when a server or a revision changes its state."""
    notify_webhook_secret: SecretValue | None = None
    """`CATWALK_NOTIFY_WEBHOOK_SECRET`: signs what is told there (Standard Webhooks)."""
    notify_slack_url: SecretValue | None = None
    """`CATWALK_NOTIFY_SLACK_URL`: an incoming webhook of Slack, or of something that takes the same."""
    notify_private: str = ""
    """`CATWALK_NOTIFY_PRIVATE`: `1` lets the two addresses be in a private network."""
    runner_image: str = DEFAULT_RUNNER_IMAGE
    """`CATWALK_RUNNER_IMAGE`: the image that runs the adapter."""
    mcp_registry_url: str = DEFAULT_MCP_REGISTRY_URL
    """`CATWALK_MCP_REGISTRY_URL`: where `catwalk add`, `search` and `validate` look; any registry with the
    official API."""
    key_environment: Mapping[str, str] | None = None
    """The environment as found, for the SOPS room alone: keys, and the services that hold keys, are named in variables
    of their own tools (`SOPS_AGE_KEY`, `GNUPGHOME`, `VAULT_ADDR`, `AWS_PROFILE` …)."""

    def __repr__(self) -> str:
        return "Settings(********)"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`.

    Raises:
        EnvironmentFault: a `CATWALK_` variable is unknown, or cannot be read.
    """
    _refuse_unknown(environment)
    return Settings(
        fly_api_token=_secret(environment, "FLY_API_TOKEN"),
        github_token=_secret(environment, "GITHUB_TOKEN"),
        github_app_id=environment.get("CATWALK_GITHUB_APP_ID", ""),
        github_app_key=_secret(environment, "CATWALK_GITHUB_APP_KEY"),
        github_deployments=_switch(environment, "CATWALK_GITHUB_DEPLOYMENTS"),
        github_api_url=environment.get("GITHUB_API_URL", ""),
        fly_api_url=environment.get("CATWALK_FLY_API_URL") or DEFAULT_FLY_API_URL,
        fly_logs_url=environment.get("CATWALK_FLY_LOGS_URL") or DEFAULT_FLY_LOGS_URL,
        flycast_url=environment.get("CATWALK_FLYCAST_URL", ""),
        repo_url=environment.get("CATWALK_REPO_URL", ""),
        git_token=_secret(environment, "CATWALK_GIT_TOKEN"),
        ssh_key=_secret(environment, "CATWALK_SSH_KEY"),
        ssh_key_file=_path(environment, "CATWALK_SSH_KEY_FILE"),
        branch=environment.get("CATWALK_BRANCH", ""),
        environment=_environment_name(environment.get("CATWALK_ENVIRONMENT", "")),
        state_dir=_path(environment, "CATWALK_STATE_DIR"),
        database_url=environment.get("CATWALK_DATABASE_URL", ""),
        webhook_secret=_secret(environment, "CATWALK_WEBHOOK_SECRET"),
        outbound_networks=_networks(environment, "CATWALK_OUTBOUND_NETWORKS"),
        public_url=environment.get("CATWALK_PUBLIC_URL", ""),
        digest_key=_secret(environment, "CATWALK_DIGEST_KEY"),
        signed_commits=environment.get("CATWALK_SIGNED_COMMITS", ""),
        allowed_signers=_path(environment, "CATWALK_ALLOWED_SIGNERS"),
        gpg_keys=_path(environment, "CATWALK_GPG_KEYS"),
        notify_webhook_url=_secret(environment, "CATWALK_NOTIFY_WEBHOOK_URL"),
        notify_webhook_secret=_secret(environment, "CATWALK_NOTIFY_WEBHOOK_SECRET"),
        notify_slack_url=_secret(environment, "CATWALK_NOTIFY_SLACK_URL"),
        notify_private=environment.get("CATWALK_NOTIFY_PRIVATE", ""),
        runner_image=environment.get("CATWALK_RUNNER_IMAGE") or DEFAULT_RUNNER_IMAGE,
        mcp_registry_url=environment.get("CATWALK_MCP_REGISTRY_URL") or DEFAULT_MCP_REGISTRY_URL,
        key_environment={name: value for name, value in environment.items() if value},
    )


def in_environment(settings: Settings, name: str) -> Settings:
    """The settings for the environment that a person named; as they are where none was named.

    Raises:
        EnvironmentFault: that is no name of one.
    """
    return replace(settings, environment=_environment_name(name)) if name else settings


def _environment_name(name: str) -> str:
    if name and not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", name):
        raise EnvironmentFault(
            "bad-environment",
            "an environment is named by lower-case letters, digits and dashes",
            hint="it stands in the names of files such as catwalk.staging.yaml",
        )
    return name


def _switch(environment: Mapping[str, str], name: str) -> bool:
    found = environment.get(name, "")
    if found not in {"", "0", "1"}:
        raise EnvironmentFault("bad-setting", f"{name} is 1 or nothing")
    return found == "1"


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    for name in sorted(environment):
        if name.startswith("CATWALK_") and name not in KNOWN_VARIABLES:
            near = get_close_matches(name, KNOWN_VARIABLES, n=1, cutoff=0.8)
            hint = f"did you mean {near[0]}?" if near else "unset it"
            raise EnvironmentFault("unknown-setting", f"{name} is no setting of Catwalk", hint=hint)


def _secret(environment: Mapping[str, str], name: str) -> SecretValue | None:
    return SecretValue(environment[name]) if environment.get(name) else None


def _networks(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    networks = tuple(part.strip() for part in environment.get(name, "").split(",") if part.strip())
    try:
        return tuple(str(ipaddress.ip_network(network)) for network in networks)
    except ValueError as error:
        message, hint = f"{name} names no network: {error}", "write them as 10.20.0.0/16,127.0.0.0/8"
        raise EnvironmentFault("bad-setting", message, hint=hint) from error


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    return Path(environment[name]) if environment.get(name) else None
