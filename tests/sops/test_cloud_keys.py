"""Vault and Google Cloud KMS against a small server that answers as they do; and what a file may make us ask."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reconciler.sops.document import decrypt
from reconciler.sops.errors import KeyUnreadable, Tampered
from reconciler.sops.identities import Identities
from reconciler.sops.metadata import KeyService, Recipient, WrappedKey
from reconciler.sops.services.gcp_kms import GoogleKms, google_kms
from reconciler.sops.services.google_token import GivenToken, ServiceAccount
from reconciler.sops.services.port import (
    DamagedKeyError,
    KeyServiceDenied,
    KeyServiceNotAllowed,
    KeyServiceUnavailable,
    NotForUsError,
)
from reconciler.sops.services.vault import vault

SECRET = bytes(range(32))
TOKEN = "token-that-no-error-shows"
RESOURCE = "projects/p/locations/global/keyRings/r/cryptoKeys/k"


class _Double:
    """Answers every request with what it was given; keeps what was asked."""

    def __init__(self, url) -> None:
        self.url = url
        self.asked = []
        self.answers = [(200, {})]

    def answer(self, status, body):
        self.answers = [(status, body)]


@contextmanager
def _serving():
    double = _Double("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            double.asked.append((self.path, dict(self.headers.items()), content))
            status, body = double.answers[0] if len(double.answers) == 1 else double.answers.pop(0)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def double():
    with _serving() as serving:
        yield serving


def _vault(double, **environment: str):
    return vault({"VAULT_ADDR": double.url, "VAULT_TOKEN": TOKEN, **environment})


def _vault_key(address, engine="transit", name="fleet", enc="vault:v1:abcd"):
    attributes = {"vault_address": address, "engine_path": engine, "key_name": name}
    return WrappedKey(recipient=Recipient(service=KeyService.VAULT, name=name), wrapped=enc, attributes=attributes)


def _google(double, allowed=("*",)):
    return GoogleKms(GivenToken(TOKEN), allowed, double.url)


def _google_key(resource=RESOURCE):
    recipient = Recipient(service=KeyService.GCP_KMS, name=resource)
    return WrappedKey(recipient=recipient, wrapped="YWJj\nZA==", attributes={"resource_id": resource})


def _text(data=SECRET):
    return base64.b64encode(data).decode()


def test_vault_is_asked_with_token_and_namespace(double):
    double.answer(200, {"data": {"plaintext": _text()}})
    service = _vault(double, VAULT_NAMESPACE="team")
    assert service.unwrap(_vault_key(double.url + "/", engine="/mounts/transit/")) == SECRET
    ((path, headers, content),) = double.asked
    assert path == "/v1/mounts/transit/decrypt/fleet"
    assert (headers["X-Vault-Token"], headers["X-Vault-Namespace"]) == (TOKEN, "team")
    assert json.loads(content) == {"ciphertext": "vault:v1:abcd"}


def test_google_is_asked_with_token_and_resource(double):
    double.answer(200, {"plaintext": _text()})
    assert _google(double).unwrap(_google_key()) == SECRET
    ((path, headers, content),) = double.asked
    assert path == f"/v1/{RESOURCE}:decrypt"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(content) == {"ciphertext": "YWJjZA=="}


VAULT_FAILURES = {
    "permission denied": (403, {"errors": ["permission denied"]}, KeyServiceDenied),
    "unknown key": (400, {"errors": ["encryption key not found"]}, NotForUsError),
    "unknown engine": (404, {"errors": ["no handler for route"]}, NotForUsError),
    "foreign ciphertext": (400, {"errors": ["cipher: message authentication failed"]}, DamagedKeyError),
    "sealed": (503, {"errors": ["Vault is sealed"]}, KeyServiceUnavailable),
    "fault": (500, {}, KeyServiceUnavailable),
    "too many": (429, {}, KeyServiceUnavailable),
    "elsewhere": (302, {}, KeyServiceUnavailable),
    "odd": (418, {}, KeyServiceUnavailable),
    "no plaintext": (200, {"data": {}}, KeyServiceUnavailable),
    "no object": (200, [1], KeyServiceUnavailable),
    "no JSON": (200, b"<html>", KeyServiceUnavailable),
    "no base64": (200, {"data": {"plaintext": "***"}}, KeyServiceUnavailable),
    "huge": (200, b" " * 100_000, KeyServiceUnavailable),
}
GOOGLE_FAILURES = {
    "unauthenticated": (401, {}, KeyServiceDenied),
    "permission denied": (403, {}, KeyServiceDenied),
    "unknown key": (404, {}, NotForUsError),
    "foreign ciphertext": (400, {"error": {"status": "INVALID_ARGUMENT"}}, DamagedKeyError),
    "fault": (503, {}, KeyServiceUnavailable),
    "odd": (409, {}, KeyServiceUnavailable),
    "no plaintext": (200, {}, KeyServiceUnavailable),
}


@pytest.mark.parametrize(("status", "body", "kind"), VAULT_FAILURES.values(), ids=VAULT_FAILURES.keys())
def test_what_vault_answers_is_told_apart(double, status, body, kind):
    double.answer(status, body)
    with pytest.raises(kind) as refusal:
        _vault(double).unwrap(_vault_key(double.url))
    assert TOKEN not in f"{refusal.value} {refusal.value!r} {refusal.value.__cause__!r}"


@pytest.mark.parametrize(("status", "body", "kind"), GOOGLE_FAILURES.values(), ids=GOOGLE_FAILURES.keys())
def test_what_google_answers_is_told_apart(double, status, body, kind):
    double.answer(status, body)
    with pytest.raises(kind) as refusal:
        _google(double).unwrap(_google_key())
    assert TOKEN not in f"{refusal.value} {refusal.value!r}"


def test_no_connection_is_unavailable():
    nowhere = vault({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": TOKEN})
    with pytest.raises(KeyServiceUnavailable, match="ConnectError"):
        nowhere.unwrap(_vault_key("http://127.0.0.1:1"))


@pytest.mark.parametrize("address", ["https://vault.evil.example", "", "http://127.0.0.1", "file:///etc/passwd"])
def test_the_token_goes_to_no_address_that_a_file_names(double, address):
    with pytest.raises(KeyServiceNotAllowed) as refusal:
        _vault(double).unwrap(_vault_key(address))
    assert double.asked == []
    assert "SOPS_HC_VAULT_ALLOWLIST" in refusal.value.problem.hint


@pytest.mark.parametrize(
    ("engine", "name"), [("../sys", "k"), ("transit", "../../sys/seal"), ("", "k"), ("transit", "k?x=1"), ("a//b", "k")]
)
def test_a_path_that_leaves_the_engine_is_not_asked(double, engine, name):
    with pytest.raises(KeyServiceNotAllowed):
        _vault(double).unwrap(_vault_key(double.url, engine, name))
    assert double.asked == []


def test_an_allow_list_takes_the_place_of_the_address(double):
    double.answer(200, {"data": {"plaintext": _text()}})
    listed = vault({"VAULT_TOKEN": TOKEN, "SOPS_HC_VAULT_ALLOWLIST": f"https://a.example, {double.url}"})
    assert listed.unwrap(_vault_key(double.url)) == SECRET
    wide = vault({"VAULT_TOKEN": TOKEN, "SOPS_HC_VAULT_ALLOWLIST": "*"})
    with pytest.raises(KeyServiceNotAllowed, match="user"):
        wide.unwrap(_vault_key("http://user@127.0.0.1:1"))


@pytest.mark.parametrize(
    "resource", ["", "projects/p", RESOURCE + "/../../x", RESOURCE + "?alt=media", "https://evil.example/" + RESOURCE]
)
def test_a_resource_that_is_no_key_is_not_asked(double, resource):
    with pytest.raises(KeyServiceNotAllowed):
        _google(double).unwrap(_google_key(resource))
    assert double.asked == []


def test_a_resource_that_is_not_listed_is_not_asked(double):
    with pytest.raises(KeyServiceNotAllowed, match="projects/p/"):
        _google(double, ("projects/mine/*",)).unwrap(_google_key())


def test_without_credentials_there_is_no_such_service():
    assert vault({}) is None
    assert vault({"VAULT_TOKEN": TOKEN}) is None
    assert vault({"VAULT_ADDR": "https://a.example"}) is None
    assert google_kms({}) is None
    assert google_kms({"GOOGLE_OAUTH_ACCESS_TOKEN": TOKEN}) is not None


@pytest.fixture(scope="module")
def account_key():
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _account_file(folder, key, url):
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = folder / "account.json"
    content = {"client_email": "catwalk@p.example", "token_uri": f"{url}/token", "private_key": pem}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_service_account_signs_a_statement_and_keeps_its_token(double, account_key, tmp_path):
    double.answer(200, {"access_token": "first"})
    now = [1_000_000.0]
    account = ServiceAccount(_account_file(tmp_path, account_key, double.url), now=lambda: now[0])
    assert [account.token(), account.token()] == ["first", "first"]
    ((path, _, content),) = double.asked
    statement = parse_qs(content.decode())["assertion"][0]
    signed, _, signature = statement.rpartition(".")
    account_key.public_key().verify(base64.urlsafe_b64decode(signature + "=="), signed.encode(), PKCS1v15(), SHA256())
    claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
    assert (path, claims["iss"], claims["exp"] - claims["iat"]) == ("/token", "catwalk@p.example", 3_600)
    now[0] += 3_400
    double.answer(200, {"access_token": "second"})
    assert account.token() == "second"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(400, {"error": "invalid_grant"}, KeyServiceDenied), (200, {}, KeyServiceUnavailable)],
)
def test_a_token_that_is_refused_is_told(double, account_key, tmp_path, status, body, kind):
    double.answer(status, body)
    with pytest.raises(kind):
        ServiceAccount(_account_file(tmp_path, account_key, double.url)).token()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"client_email": "a", "token_uri": "b", "private_key": "c"}'])
def test_a_broken_account_file_is_told_when_it_is_needed(tmp_path, content, assert_shows_nothing):
    path = tmp_path / "account.json"
    path.write_text(content, encoding="utf-8")
    service = google_kms({"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    with pytest.raises(KeyUnreadable, match="service account") as refusal:
        service.unwrap(_google_key())
    assert_shows_nothing(refusal.value)


def _sealed(encrypt, url):
    text = encrypt("a: x\n", data_key=SECRET).decode()
    entry = text[text.index("    age:") : text.index("    lastmodified:")]
    entries = (
        f"    hc_vault:\n        - vault_address: {url}\n          engine_path: transit\n          key_name: fleet\n"
    )
    return text.replace(entry, entries + "          enc: vault:v1:abcd\n").encode()


def test_a_file_held_by_vault_alone_opens(double, encrypt):
    double.answer(200, {"data": {"plaintext": _text()}})
    opened = decrypt(_sealed(encrypt, double.url), Identities(services=(_vault(double),)), file="s.yaml")
    assert [leaf.plaintext for leaf in opened.leaves()] == [b"x"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(403, {}, KeyServiceDenied), (500, {}, KeyServiceUnavailable), (400, {}, Tampered)],
)
def test_why_vault_did_not_open_a_file_is_told(double, encrypt, assert_shows_nothing, status, body, kind):
    double.answer(status, body)
    with pytest.raises(kind) as refusal:
        decrypt(_sealed(encrypt, double.url), Identities(services=(_vault(double),)), file="s.yaml")
    assert_shows_nothing(refusal.value, TOKEN)


def test_age_opens_a_file_without_asking_a_service(double, encrypt, keys):
    text = _sealed(encrypt, double.url).decode()
    whole = encrypt("a: x\n", data_key=SECRET).decode()
    entry = whole[whole.index("    age:") : whole.index("    lastmodified:")]
    both = text.replace("    hc_vault:", entry + "    hc_vault:").encode()
    identities = Identities(keys=keys.identities.keys, services=(_vault(double),))
    assert decrypt(both, identities, file="s.yaml").leaves()
    assert double.asked == []
