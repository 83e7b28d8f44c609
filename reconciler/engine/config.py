"""A machine's configuration as the Machines API takes it: names, types and bounds of Fly's `MachineConfig`.

Reading is as forgiving and as strict as the platform: unknown keys are dropped without a word, wrong types are refused,
defaults are filled in, so that what is read back differs from what was sent in the documented ways (`autostop` as a
boolean, `init` and `dns` as `{}`). What the engine cannot run (containers, schedules) is refused, never ignored.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from reconciler.engine import durations

type_error = "the embedded engine does not run config.{name} yet"


def _checked_duration(value: object) -> object:
    text = durations.normalised(value)
    if isinstance(text, str):
        durations.seconds(text)
    return text


Duration = Annotated[str, BeforeValidator(_checked_duration)]
StopSignal = Literal["SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM"]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Text without NUL, which no argument and no environment variable can carry."""
VariableName = Annotated[str, Field(pattern=r"^[^\x00=]+$")]


class Model(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Guest(Model):
    cpu_kind: Literal["shared", "performance"] = "shared"
    cpus: int = 1
    memory_mb: int = 256
    max_memory_mb: int | None = None
    host_dedication_id: str | None = None
    kernel_args: tuple[str, ...] | None = Field(default=None, strict=False)
    persist_rootfs: Literal["never", "always", "restart"] | None = None

    @model_validator(mode="after")
    def sold(self) -> Self:
        """The sizes of Fly's table (flyctl, `internal/command/machine/update.go`)."""
        shared = self.cpu_kind == "shared"
        counts = (1, 2, 4, 6, 8) if shared else (1, 2, 4, 6, 8, 10, 12, 14, 16, 32, 64, 128)
        step, least, most = (256, 256, 2048) if shared else (1024, 2048, 8192)
        if self.cpus not in counts:
            raise ValueError(f"invalid CPU count for {self.cpu_kind}: {self.cpus}")
        if self.memory_mb % step or not least * self.cpus <= self.memory_mb <= most * self.cpus:
            raise ValueError(f"invalid memory size for {self.cpu_kind}-cpu-{self.cpus}x: {self.memory_mb} MB")
        return self


class Init(Model):
    exec: tuple[Text, ...] | None = Field(default=None, strict=False)
    entrypoint: tuple[Text, ...] | None = Field(default=None, strict=False)
    cmd: tuple[Text, ...] | None = Field(default=None, strict=False)
    tty: bool | None = None
    swap_size_mb: int | None = None


class Header(Model):
    name: str
    values: tuple[str, ...] = Field(default=(), strict=False)


class Check(Model):
    type: Literal["tcp", "http"] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    interval: Duration | None = None
    timeout: Duration | None = None
    grace_period: Duration | None = None
    method: str | None = None
    path: str | None = None
    protocol: str | None = None
    tls_server_name: str | None = None
    tls_skip_verify: bool | None = None
    headers: tuple[Header, ...] | None = Field(default=None, strict=False)


class TopCheck(Check):
    kind: Literal["informational", "readiness"] | None = None


class HttpOptions(Model):
    compress: bool | None = None
    h2_backend: bool | None = None
    idle_timeout: int | None = None
    headers_read_timeout: int | None = None


class Port(Model):
    port: int | None = Field(default=None, ge=1, le=65535)
    start_port: int | None = Field(default=None, ge=1, le=65535)
    end_port: int | None = Field(default=None, ge=1, le=65535)
    handlers: tuple[str, ...] | None = Field(default=None, strict=False)
    force_https: bool | None = None
    http_options: HttpOptions | None = None


class Concurrency(Model):
    type: Literal["connections", "requests"] | None = None
    soft_limit: int | None = None
    hard_limit: int | None = None


def _autostop_words(value: object) -> object:
    if isinstance(value, bool):
        return "stop" if value else "off"
    return value


class Service(Model):
    protocol: Literal["tcp", "udp"] = "tcp"
    internal_port: int = Field(ge=1, le=65535)
    autostop: Annotated[Literal["off", "stop", "suspend"], BeforeValidator(_autostop_words)] = "off"
    autostart: bool = False
    min_machines_running: int | None = None
    ports: tuple[Port, ...] | None = Field(default=None, strict=False)
    concurrency: Concurrency | None = None
    checks: tuple[Check, ...] | None = Field(default=None, strict=False)
    force_instance_key: str | None = None
    force_instance_description: str | None = None

    @field_serializer("autostop")
    def _as_read_back(self, value: str) -> bool | str:
        """`off` and `stop` read back as booleans, only `suspend` as a word (OpenAPI document against the live API)."""
        return value if value == "suspend" else value == "stop"


class Restart(Model):
    policy: Literal["no", "always", "on-failure"] = "on-failure"
    max_retries: int = Field(default=10, ge=0)


class StopConfig(Model):
    signal: StopSignal | None = None
    timeout: Duration | None = None


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return value


class File(Model):
    guest_path: Annotated[Text, Field(pattern=r"^/[^\x00]*[^\x00/]$")]
    raw_value: Annotated[str, AfterValidator(_base64)] | None = Field(default=None, repr=False)
    secret_name: str | None = None
    image_config: str | None = None
    mode: int | None = Field(default=None, ge=0, le=0o7777)

    @model_validator(mode="after")
    def writable(self) -> Self:
        if self.image_config:
            raise ValueError(type_error.format(name="files.image_config"))
        if (self.raw_value is None) == (self.secret_name is None):
            raise ValueError("one of raw_value and secret_name must be set")
        if ".." in self.guest_path.split("/"):
            raise ValueError("guest_path must not contain ..")
        return self


class Mount(Model):
    volume: Annotated[str, Field(min_length=1)]
    """The id of a volume of the app; a name alone would leave open which one."""
    path: Annotated[Text, Field(pattern=r"^/[^\x00]*[^\x00/]$")]
    name: str | None = None
    size_gb: int | None = None
    encrypted: bool | None = None
    add_size_gb: int | None = None
    extend_threshold_percent: int | None = None
    size_gb_limit: int | None = None

    @model_validator(mode="after")
    def inside(self) -> Self:
        if ".." in self.path.split("/"):
            raise ValueError("path must not contain ..")
        return self


class MachineConfig(Model):
    image: str = Field(min_length=1)
    init: Init = Init()
    env: Mapping[VariableName, Text] | None = None
    guest: Guest = Guest()
    restart: Restart = Restart()
    stop_config: StopConfig | None = None
    services: tuple[Service, ...] | None = Field(default=None, strict=False)
    checks: Mapping[str, TopCheck] | None = None
    metadata: Mapping[str, str] | None = None
    auto_destroy: bool | None = None
    files: tuple[File, ...] | None = Field(default=None, strict=False)
    mounts: tuple[Mount, ...] | None = Field(default=None, max_length=1, strict=False)
    dns: Mapping[str, object] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _runnable(cls, value: object) -> object:
        """Refuses what would silently not happen."""
        if isinstance(value, Mapping):
            for name in ("containers", "processes", "schedule", "standbys"):
                if value.get(name):  # pyright: ignore[reportUnknownMemberType] - untyped JSON, narrowed by the models.
                    raise ValueError(type_error.format(name=name))
        return value  # pyright: ignore[reportUnknownVariableType] - untyped JSON, narrowed by the models.

    @field_validator("init", "guest", "restart", "dns", mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        """Go clients send `null` for what they leave out."""
        return {} if value is None else value

    def read_back(self) -> dict[str, object]:
        """The configuration as an answer shows it."""
        return self.model_dump(mode="json", exclude_none=True)


class CreateMachine(Model):
    config: MachineConfig
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    region: str | None = None
    skip_launch: bool = False
    skip_service_registration: bool = False
    skip_secrets: bool = False
    min_secrets_version: int = 0
    lease_ttl: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}  # pyright: ignore[reportUnknownVariableType] - untyped JSON, narrowed by the models.
        return value


class UpdateMachine(CreateMachine):
    current_version: str | None = None
