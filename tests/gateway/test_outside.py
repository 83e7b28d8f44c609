"""Which URLs and addresses the gateway calls outside the fleet, and that a name cannot lead it inside."""

import ipaddress
import ssl
import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay import (
    Address,
    BadURL,
    BufferedResponse,
    OutsideRules,
    Relay,
    RelayLimits,
    RequestHead,
    UpstreamForbidden,
    UpstreamUnreachable,
    read_url,
)
from gateway.relay.outside import is_allowed, tls_context
from tests.gateway.conftest import read_request, scripted

PUBLIC = OutsideRules()
LOCAL = OutsideRules(networks=("127.0.0.0/8", "::1/128"))
LIMITS = RelayLimits(connect_timeout_s=5, head_timeout_s=5)


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/",
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.8/keys",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fdaa::3]/",
        "https://[::ffff:10.0.0.8]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[2002:0a00:0008::]/",
        "https://[64:ff9b::a00:8]/",
        "https://0.0.0.0/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://user:secret@login.example.com/",
        "https://user@login.example.com/",
        "https://login.example.com/#keys",
        "https://login.example.com\\@evil.example.com/",
        "https://login.example.com:99999/",
        "https://login.example.com:x/",
        "https://login.example.com/a b",
        "https://login.example.com/\r\nhost: x",
        "https://lögin.example.com/",
        "https:///keys",
        "https://",
        "//login.example.com/",
        "file:///etc/passwd",
        "gopher://login.example.com/",
        "",
        "https://login.example.com/" + "a" * 3000,
    ],
)
def test_a_url_that_leads_inside_or_is_no_plain_one_is_refused(url):
    with pytest.raises(BadURL):
        read_url(url, PUBLIC)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "target"),
    [
        ("https://login.example.com", "login.example.com", 443, "login.example.com", "/"),
        ("https://login.example.com:8443/t1?a=b", "login.example.com", 8443, "login.example.com:8443", "/t1?a=b"),
        ("https://[2606:4700::1]/x", "2606:4700::1", 443, "[2606:4700::1]", "/x"),
        ("https://Login.example.com:443/", "login.example.com", 443, "login.example.com", "/"),
    ],
)
def test_a_public_url_comes_in_parts(url, host, port, authority, target):
    read = read_url(url, PUBLIC)
    assert (read.host, read.port, read.authority, read.target) == (host, port, authority, target)
    assert read.outside.is_encrypted


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "https://127.1.2.3/"])
def test_loopback_and_plain_http_are_for_those_who_asked_for_it(url):
    assert read_url(url, LOCAL).port in {9, 443}
    with pytest.raises(BadURL):
        read_url(url, PUBLIC)


def test_plain_http_stays_refused_for_everything_but_loopback():
    with pytest.raises(BadURL):
        read_url("http://login.example.com/", OutsideRules(networks=("127.0.0.0/8", "10.0.0.0/8")))
    with pytest.raises(BadURL):
        read_url("http://127.0.0.1/", OutsideRules(networks=("10.0.0.0/8",)))


def test_networks_that_are_none_are_refused_at_once():
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        OutsideRules(networks=("10.0.0.1/8",))


@given(st.ip_addresses(v=4))
def test_an_inner_address_stays_inner_in_every_disguise(address):
    number = int(address)
    disguises = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number),
    ]
    if not is_allowed(address, ()):
        assert not any(is_allowed(disguise, ()) for disguise in disguises)
    else:
        assert is_allowed(disguises[0], ())


def address_of(url: str, rules: OutsideRules) -> tuple[Address, bytes]:
    read = read_url(url, rules)
    head = RequestHead(
        method=b"GET",
        target=read.target.encode(),
        authority=read.authority.encode(),
        headers=[],
        content_length=0,
    )
    return Address(read.host, read.port, read.authority, read.outside), head.encode()


async def ask(relay: Relay, url: str, rules: OutsideRules) -> bytes:
    address, opening = address_of(url, rules)
    response = BufferedResponse(LIMITS)
    exchange = await relay.open(address, opening, response, chunked=False)
    exchange.complete_request()
    try:
        return await response.read_whole(1000)
    finally:
        exchange.abort()


async def answer_hello(reader, writer) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
    await writer.drain()


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["nonsense"]],
)
async def test_a_name_that_leads_inside_is_not_connected_to(found):
    async def look_up(host, port):
        return found

    async with scripted(answer_hello) as server:
        relay = Relay(LIMITS, look_up=look_up)
        with anyio.fail_after(5), pytest.raises(UpstreamForbidden):
            await ask(relay, f"https://login.example.com:{server.port}/", PUBLIC)
        await relay.aclose()
    assert server.connections == 0


async def test_a_name_is_looked_up_once_for_a_connection_so_that_it_cannot_change_in_between():
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def look_up(host, port):
        return answers.pop(0)

    async with scripted(answer_hello) as server:
        relay = Relay(LIMITS, look_up=look_up)
        assert await ask(relay, f"http://localhost:{server.port}/", LOCAL) == b"hello"
        with pytest.raises(UpstreamForbidden):
            await ask(relay, f"http://localhost:{server.port}/", LOCAL)
        await relay.aclose()
    assert server.connections == 1


async def test_a_name_without_addresses_is_unreachable():
    async def nothing(host, port):
        raise OSError("no such name")

    relay = Relay(LIMITS, look_up=nothing)
    with pytest.raises(UpstreamUnreachable):
        await ask(relay, "https://login.example.com/", PUBLIC)
    await relay.aclose()


async def test_the_next_address_of_a_name_is_tried():
    async def look_up(host, port):
        return ["::1", "127.0.0.1"]

    async with scripted(answer_hello) as server:
        relay = Relay(LIMITS, look_up=look_up)
        assert await ask(relay, f"http://localhost:{server.port}/", LOCAL) == b"hello"
        await relay.aclose()


def certificate(name: str) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.fromtimestamp(time.time(), UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


@pytest.fixture
def tls_files(tmp_path, monkeypatch):
    """A certificate for `login.example.com` that this process trusts."""
    public, secret = certificate("login.example.com")
    (tmp_path / "ca.pem").write_bytes(public)
    (tmp_path / "both.pem").write_bytes(public + secret)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_context.cache_clear()
    yield tmp_path / "both.pem"
    tls_context.cache_clear()


@pytest.mark.parametrize(("name", "is_good"), [("login.example.com", True), ("evil.example.com", False)])
async def test_the_certificate_has_to_be_that_of_the_name(tls_files, name, is_good):
    async def look_up(host, port):
        return ["127.0.0.1"]

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_files)
    async with scripted(answer_hello, context) as server:
        relay = Relay(LIMITS, look_up=look_up)
        with anyio.fail_after(5):
            if is_good:
                assert await ask(relay, f"https://{name}:{server.port}/", LOCAL) == b"hello"
            else:
                with pytest.raises(UpstreamUnreachable, match="certificate is not good"):
                    await ask(relay, f"https://{name}:{server.port}/", LOCAL)
        await relay.aclose()
