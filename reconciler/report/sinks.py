"""Sends notices to addresses that whoever runs Catwalk names: signed webhooks, and Slack's incoming ones.

An address is a secret, because for Slack it is all that it takes to write there: it is never logged and never part of
an error. The host is looked up once for each call, and the connection goes to what was found and was judged: an address
inside a private network is refused unless that is wanted, redirects are not followed, answers are hardly read.
"""

import base64
import binascii
import hashlib
import hmac
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx

from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError, EnvironmentFault, RateLimited, Refused, Unavailable
from reconciler.loop.ports import Clock
from reconciler.report.messages import Message

CONNECT_TIMEOUT_S: Final = 5.0
CALL_TIMEOUT_S: Final = 15.0
MOST_ANSWER_BYTES: Final = 64 * 1024
LONGEST_WAIT_S: Final = 300.0
_PORTS: Final = {"https": 443, "http": 80}
_STANDARD: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class SinkAddress:
    """Where notices go. Shows nothing of it."""

    parts: SplitResult
    private: bool

    def __repr__(self) -> str:
        return "SinkAddress(********)"


def sink_address(variable: str, url: SecretValue, *, private: bool) -> SinkAddress:
    """An address from a setting; `private` allows one in a private network, and http there.

    Raises:
        EnvironmentFault: it is none that notices may go to.
    """
    try:
        parts = urlsplit(url.reveal().strip())
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    schemes = {"https", "http"} if private else {"https"}
    if parts.scheme not in schemes or not parts.hostname or parts.username or parts.password:
        raise EnvironmentFault(
            "notify-url-invalid",
            f"{variable} is no https address without a user name",
            hint="CATWALK_NOTIFY_PRIVATE=1 allows http and addresses in a private network",
        )
    return SinkAddress(parts, private)


class Outbound:
    """Posts to addresses that are allowed. An asynchronous context manager around one HTTP client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        """`client` follows no redirects and reads no settings from the environment; see `outbound_client`."""
        self._client = client

    async def post(self, address: SinkAddress, body: bytes, headers: Mapping[str, str]) -> None:
        """Posts once.

        Raises:
            RateLimited: it asks to wait.
            Unavailable: no answer, or one that says to come again.
            Refused: it will never take this, or may not be asked.
        """
        host, port = address.parts.hostname or "", address.parts.port or _PORTS[address.parts.scheme]
        try:
            with anyio.fail_after(CALL_TIMEOUT_S):
                found = await _resolved(host, port, private=address.private)
                request = self._request(address.parts, found, body, headers)
                answer = await self._client.send(request, stream=True)
                try:
                    await _read_little(answer)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, TimeoutError, OSError) as fault:
            # Only the kind is told: the texts quote the address.
            raise Unavailable("sink-unavailable", f"the address does not answer ({type(fault).__name__})") from None
        if (refusal := _judged(answer)) is not None:
            raise refusal

    def _request(self, parts: SplitResult, found: str, body: bytes, headers: Mapping[str, str]) -> httpx.Request:
        """To the address that was found, under the name that was asked for, for TLS too."""
        numeric = f"[{found}]" if ":" in found else found
        port = f":{parts.port}" if parts.port else ""
        query = f"?{parts.query}" if parts.query else ""
        return self._client.build_request(
            "POST",
            f"{parts.scheme}://{numeric}{port}{parts.path or '/'}{query}",
            content=body,
            headers={"Content-Type": "application/json", "User-Agent": "catwalk", **headers, "Host": parts.netloc},
            extensions={"sni_hostname": parts.hostname},
        )


def outbound_client() -> httpx.AsyncClient:
    """A client for `Outbound`."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S), follow_redirects=False, trust_env=False
    )


async def _resolved(host: str, port: int, *, private: bool) -> str:
    """An address of the host.

    Raises:
        Refused: one of them is not open to everybody, and only such ones are allowed.
        OSError: there is none.
    """
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not private and not all(ip_address(one.partition("%")[0]).is_global for one in addresses):
        raise Refused(
            "sink-private",
            "the address of a notification is inside a private network",
            hint="set CATWALK_NOTIFY_PRIVATE=1 if that is meant",
        )
    return addresses[0]


async def _read_little(answer: httpx.Response) -> None:
    """Lets the connection be used again where the answer is short; a long one is cut off with it."""
    read = 0
    async for chunk in answer.aiter_raw():
        read += len(chunk)
        if read > MOST_ANSWER_BYTES:
            return


def _judged(answer: httpx.Response) -> CatwalkError | None:
    status = answer.status_code
    if answer.is_success:
        return None
    after = answer.headers.get("retry-after", "")
    if status in {429, 503} and after.isascii() and after.isdigit():
        limit = RateLimited("sink-limited", "the address of a notification asks to wait")
        limit.retry_after_s = min(max(float(after), 1.0), LONGEST_WAIT_S)
        return limit
    if status >= 500 or status in {408, 425, 429}:
        return Unavailable("sink-unavailable", f"the address of a notification answered {status}")
    return Refused("sink-refused", f"the address of a notification answered {status}", hint="check the setting")


class WebhookSink:
    """A generic webhook, signed as Standard Webhooks has it (its specification, "Signature scheme").

    `webhook-id` is the same for every attempt at one notice, so that a receiver can tell a repetition.
    """

    def __init__(self, outbound: Outbound, address: SinkAddress, secret: SecretValue, clock: Clock) -> None:
        self._outbound, self._address, self._clock = outbound, address, clock
        self._key = signing_key(secret)

    async def tell(self, message: Message) -> None:
        """As `Channel.tell`."""
        body = message.text.encode("utf-8")
        webhook_id, timestamp = f"msg_{message.mark}", str(int(self._clock.now().timestamp()))
        signed = hmac.new(self._key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        await self._outbound.post(
            self._address,
            body,
            {
                "webhook-id": webhook_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": f"v1,{base64.b64encode(signed).decode('ascii')}",
            },
        )


def signing_key(secret: SecretValue) -> bytes:
    """The key in a secret: Base64 after `whsec_`, else the text itself.

    Raises:
        EnvironmentFault: it is too short to protect anything.
    """
    text = secret.reveal().strip()
    try:
        standard = text.startswith(_STANDARD)
        key = base64.b64decode(text.removeprefix(_STANDARD), validate=True) if standard else text.encode("utf-8")
    except binascii.Error:
        key = b""
    if len(key) < 16:
        raise EnvironmentFault(
            "notify-secret-invalid",
            "CATWALK_NOTIFY_WEBHOOK_SECRET has fewer than 16 bytes",
            hint="make one with `openssl rand -hex 32`",
        )
    return key


class SlackSink:
    """An incoming webhook of Slack, or of what takes the same."""

    def __init__(self, outbound: Outbound, address: SinkAddress) -> None:
        self._outbound, self._address = outbound, address

    async def tell(self, message: Message) -> None:
        """As `Channel.tell`."""
        await self._outbound.post(self._address, message.text.encode("utf-8"), {})
