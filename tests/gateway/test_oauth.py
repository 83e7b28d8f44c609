"""The official Python client signs in: from the challenge over the metadata to a token for this server, and a call."""

import time
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientMetadata

from gateway.access import Access, Grant
from gateway.oauth.access import AccessRules, BearerAccess
from gateway.oauth.fetching import Fetcher
from gateway.oauth.issuer import Issuer
from gateway.oauth.providers import Provider
from gateway.oauth.resource import Resources
from tests.gateway.conftest import RunningGateway, gateway_to, serve
from tests.gateway.identity import LOOPBACK, identity_provider
from tests.gateway.test_mcp_clients import Observed, make_server, on_machine, text_of

ERAS = ["legacy", "2026-07-28"]


class LateAccess:
    """Is given its rules when the gateway's own address is known."""

    inner: Access | None = None
    resources = Resources("", [])

    def metadata(self, server: str):
        return self.resources.metadata(server)

    @property
    def generation(self) -> int:
        return self.inner.generation if self.inner is not None else -1

    def admit(self, authorization: bytes | None, server: str, *, aggregate: bool = False) -> Grant | None:
        assert self.inner is not None
        return self.inner.admit(authorization, server, aggregate=aggregate)


class Storage:
    """Implements the client's `TokenStorage` in memory."""

    def __init__(self) -> None:
        self.tokens = None
        self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


@asynccontextmanager
async def protected_clock(provider: Provider):
    late = LateAccess()
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    clock = make_server(Observed()).streamable_http_app(transport_security=security)
    async with (
        serve(on_machine(clock, b"148e2d"), lifespan="on") as port,
        gateway_to(port, access=late, resource_metadata=late.metadata) as gateway,
    ):
        late.resources = Resources(gateway.url, [provider])
        rules = AccessRules(providers=[provider], access={"platform": {"time": ["add"]}})
        late.inner = BearerAccess(rules, late.resources, [Issuer(provider, Fetcher(LOOPBACK), time.monotonic)])
        yield gateway


def signing_in(gateway: RunningGateway, storage: Storage, *, address: str = "") -> OAuthClientProvider:
    """A client whose person agrees to everything at once, in a browser that follows the redirect."""
    seen: list[AuthorizationCodeResult] = []

    async def open_page(url: str) -> None:
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(url)
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        seen.append(AuthorizationCodeResult(code=query["code"][0], state=query["state"][0], iss=query["iss"][0]))

    async def answer() -> AuthorizationCodeResult:
        return seen[-1]

    return OAuthClientProvider(
        address or gateway.mcp,
        OAuthClientMetadata(client_name="tests", redirect_uris=["http://127.0.0.1:9/callback"]),
        storage,
        redirect_handler=open_page,
        callback_handler=answer,
    )


@pytest.mark.usefixtures("data_path")
@pytest.mark.parametrize("mode", ERAS)
async def test_the_official_client_signs_in_and_calls(mode):
    async with identity_provider(scopes=["mcp", "clock"]) as issuer:
        provider = Provider(name="corp", issuer=issuer.issuer, scopes=("mcp",), server_scopes=(("time", ("clock",)),))
        async with protected_clock(provider) as gateway:
            storage = Storage()
            with anyio.fail_after(30):
                async with create_mcp_http_client(auth=signing_in(gateway, storage)) as http:
                    transport = streamable_http_client(gateway.mcp, http_client=http)
                    async with Client(transport, mode=mode) as client:
                        names = {tool.name for tool in (await client.list_tools()).tools}
                        assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
            assert names == {"add"}
            [grant] = issuer.grants
            assert grant["resource"] == gateway.mcp
            assert storage.tokens is not None
            assert set((storage.tokens.scope or "").split()) >= {"mcp", "clock"}


@pytest.mark.parametrize("mode", ERAS)
async def test_one_token_for_the_common_address_opens_all_servers_there_and_no_other_address(mode):
    async with identity_provider(scopes=["mcp"]) as issuer:
        provider = Provider(name="corp", issuer=issuer.issuer, scopes=("mcp",))
        async with protected_clock(provider) as gateway:
            storage, common = Storage(), f"{gateway.url}/mcp"
            with anyio.fail_after(30):
                async with (
                    create_mcp_http_client(auth=signing_in(gateway, storage, address=common)) as http,
                    Client(streamable_http_client(common, http_client=http), mode=mode) as client,
                ):
                    names = {tool.name for tool in (await client.list_tools()).tools}
                    assert text_of(await client.call_tool("time__add", {"a": 2, "b": 3})) == "5"
            assert names == {"time__add"}
            assert issuer.grants[0]["resource"] == common
            assert storage.tokens is not None
            headers = {"authorization": f"Bearer {storage.tokens.access_token}"}
            async with httpx.AsyncClient() as client:
                assert (await client.post(gateway.mcp, content=b"{}", headers=headers)).status_code == 401


@pytest.mark.parametrize("mode", ERAS)
async def test_a_token_of_another_server_sends_the_client_to_sign_in_anew(mode):
    async with identity_provider() as issuer:
        provider = Provider(name="corp", issuer=issuer.issuer)
        async with protected_clock(provider) as gateway:
            headers = {"authorization": f"Bearer {issuer.token(aud=gateway.url + '/servers/wiki/mcp')}"}
            async with httpx.AsyncClient() as client:
                answer = await client.post(gateway.mcp, content=b"{}", headers=headers)
            assert answer.status_code == 401
            challenge = answer.headers["www-authenticate"]
            assert 'error="invalid_token"' in challenge
            place = challenge.split('resource_metadata="')[1].split('"')[0]
            async with httpx.AsyncClient() as client:
                document = (await client.get(place)).json()
            assert document["resource"] == gateway.mcp
            assert document["authorization_servers"] == [issuer.issuer]
