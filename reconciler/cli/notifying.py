"""Opens the channels by which people outside GitHub are notified, as the environment names them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.report.courier import Channel
from reconciler.report.notifier import SLACK, WEBHOOK
from reconciler.report.sinks import Outbound, SlackSink, WebhookSink, outbound_client, sink_address
from reconciler.settings import Settings


@asynccontextmanager
async def open_channels(settings: Settings) -> AsyncGenerator[Mapping[str, Channel]]:
    """The channels; none where no setting names one.

    Raises:
        EnvironmentFault: a setting is wrong, or one that belongs to it is missing.
    """
    private = settings.notify_private == "1"
    if settings.notify_private not in {"", "0", "1"}:
        raise EnvironmentFault("bad-setting", "CATWALK_NOTIFY_PRIVATE is 1 or nothing")
    async with outbound_client() as client:
        outbound, channels = Outbound(client), dict[str, Channel]()
        if settings.notify_webhook_url is not None:
            channels[WEBHOOK] = _webhook(settings, outbound, private=private)
        if settings.notify_slack_url is not None:
            address = sink_address("CATWALK_NOTIFY_SLACK_URL", settings.notify_slack_url, private=private)
            channels[SLACK] = SlackSink(outbound, address)
        yield channels


def _webhook(settings: Settings, outbound: Outbound, *, private: bool) -> WebhookSink:
    assert settings.notify_webhook_url is not None
    if settings.notify_webhook_secret is None:
        raise EnvironmentFault(
            "setting-missing",
            "CATWALK_NOTIFY_WEBHOOK_SECRET is not set: a webhook is signed, so that its receiver knows who sent it",
            hint="make one with `openssl rand -hex 32` and give it to the receiver",
        )
    address = sink_address("CATWALK_NOTIFY_WEBHOOK_URL", settings.notify_webhook_url, private=private)
    return WebhookSink(outbound, address, settings.notify_webhook_secret, SystemClock())
