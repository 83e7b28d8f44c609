"""The answers of the Machines API, as far as Catwalk reads them.

Models are lenient on purpose: unknown fields are dropped, missing ones have defaults and `null` counts as missing,
because Go writes an empty list as `null` and the documents of the API describe several generations of it at once. A
machine's config stays plain JSON: only the normaliser knows what of it is ours.
"""

from typing import cast

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator


class Wire(BaseModel):
    """What every answer shares: read-only, tolerant, and never quoting a value in a validation error."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _count_null_as_missing(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        pairs = cast("dict[str, object]", value).items()
        return {key: item for key, item in pairs if item is not None}


class ErrorBody(Wire):
    """Both error envelopes: `message` from the app service, `error` from the machine service."""

    error: str = ""
    message: str = ""
    status: str | int = ""
    """Fly's reason code; some services put `error` or the HTTP number here, which says nothing."""

    @property
    def reason(self) -> str:
        return self.status if isinstance(self.status, str) and self.status != "error" else ""


class OrganizationEntry(Wire):
    slug: str = ""


class AppEntry(Wire):
    """One app."""

    name: str = ""
    network: str = ""
    organization: OrganizationEntry = OrganizationEntry()


class AppPage(Wire):
    apps: tuple[AppEntry, ...] = ()


class CheckEntry(Wire):
    name: str = ""
    status: str = ""
    output: str = ""
    updated_at: str = ""


class ExitEntry(Wire):
    exit_code: int = 0
    oom_killed: bool = False
    requested_stop: bool = False
    exited_at: str | int = ""


class MonitorEntry(Wire):
    exit_event: ExitEntry | None = None


class EventRequest(Wire):
    exit_event: ExitEntry | None = None
    monitor: MonitorEntry | None = Field(default=None, alias="MonitorEvent")
    restart_count: int = 0


class EventEntry(Wire):
    """One event; `timestamp` counts milliseconds."""

    type: str = ""
    timestamp: int = 0
    request: EventRequest = EventRequest()


class MachineEntry(Wire):
    """One machine, from a list or alone; the organization's list leaves most of it out."""

    id: str
    name: str = ""
    state: str = ""
    region: str = ""
    app_name: str = ""
    instance_id: str = ""
    version: str = ""
    """Newer name of `instance_id`."""
    config: dict[str, object] = Field(default_factory=dict[str, object])
    incomplete_config: dict[str, object] = Field(default_factory=dict[str, object])
    """All that is known of the config while the host does not answer."""
    host_status: str = "ok"
    cordoned: bool = False
    checks: tuple[CheckEntry, ...] = ()
    events: tuple[EventEntry, ...] = ()
    created_at: str = ""
    updated_at: str = ""

    @property
    def current_version(self) -> str:
        return self.instance_id or self.version

    @property
    def metadata(self) -> dict[str, str]:
        found = self.config.get("metadata") or self.incomplete_config.get("metadata")
        pairs = cast("dict[str, object]", found).items() if isinstance(found, dict) else ()
        return {key: value for key, value in pairs if isinstance(value, str)}


class MachineList(RootModel[tuple[MachineEntry, ...]]):
    """The machines of one app; Go writes none as `null`."""

    @model_validator(mode="before")
    @classmethod
    def _count_null_as_none(cls, value: object) -> object:
        return () if value is None else value


class OrganizationPage(Wire):
    """One page of the organization's machines. Pages may be short or empty while more remain."""

    machines: tuple[MachineEntry, ...] = ()
    next_cursor: str = ""
    last_updated_at: str = ""
    """When the last machine of the page changed."""
    error_regions: tuple[str, ...] = ()


class LeaseEntry(Wire):
    """A lease. The document shows it flat, the API wraps it in `data` (fly-go); both are read."""

    nonce: str = ""
    owner: str = ""
    version: str = ""
    expires_at: int = 0

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: object) -> object:
        if isinstance(value, dict):
            wrapped = cast("dict[str, object]", value).get("data")
            return cast("object", wrapped) if isinstance(wrapped, dict) else cast("object", value)
        return value


class SecretEntry(Wire):
    name: str = ""
    digest: str = ""


class SecretPage(Wire):
    """Secrets of an app; `version` after a change, to be demanded of machines that need it."""

    secrets: tuple[SecretEntry, ...] = ()
    version: int = 0


class NetworkEntry(Wire):
    name: str = ""


class AddressEntry(Wire):
    """One address. Flycast addresses begin with `fdaa:`."""

    ip: str = ""
    network: NetworkEntry | None = None


class AddressPage(Wire):
    ips: tuple[AddressEntry, ...] = ()


class TokenEntry(Wire):
    org_slug: str = ""
    organization: str = ""


class TokenPage(Wire):
    tokens: tuple[TokenEntry, ...] = ()


class LogMeta(Wire):
    next_token: str | int = ""


class LogAttributes(Wire):
    timestamp: str = ""
    message: str = ""
    level: str = ""
    instance: str = ""


class LogEntry(Wire):
    id: str = ""
    attributes: LogAttributes = LogAttributes()


class LogPage(Wire):
    """One page of a log, oldest line first."""

    data: tuple[LogEntry, ...] = ()
    meta: LogMeta = LogMeta()
