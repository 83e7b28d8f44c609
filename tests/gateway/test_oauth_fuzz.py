"""Whatever callers, issuers and manifests send: an answer or a refusal, and never anything else."""

import base64
import contextlib
import json

import jwt
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.access import Undecided
from gateway.oauth.access import AccessRules, BearerAccess
from gateway.oauth.discovery import BadMetadata, keys_url, metadata_urls
from gateway.oauth.fetching import Fetcher
from gateway.oauth.issuer import Issuer
from gateway.oauth.keys import BadKeys, KeySet, read_keys
from gateway.oauth.providers import Provider
from gateway.oauth.resource import Resources
from gateway.oauth.tokens import BadToken, TokenHead, read_token_head, verify
from gateway.problems import Refused
from gateway.relay import BadURL, OutsideRules, read_url
from tests.gateway.identity import SigningKey

ISSUER = "https://login.example.com"
PROVIDER = Provider(name="corp", issuer=ISSUER)
KEY = SigningKey("k")
KEYS = read_keys({"keys": [KEY.document()]})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "scp", "groups", "jti"]),
    JSON | st.just(ISSUER) | st.integers(0, 2**40),
)
KEY_MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops", "d"]),
    JSON | st.sampled_from(["EC", "RSA", "OKP", "P-256", "Ed25519", "AQAB", "sig"]) | st.text("AQab-_", max_size=90),
)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def opened() -> BearerAccess:
    issuer = Issuer(PROVIDER, Fetcher(OutsideRules()), lambda: 0.0)
    issuer._take(KEYS)
    rules = AccessRules(providers=[PROVIDER], access={"*": {"*": ["*"]}})
    return BearerAccess(rules, Resources("https://gw.example.com", [PROVIDER]), [issuer])


@given(st.binary(max_size=400) | st.lists(st.binary(max_size=50), max_size=4).map(b".".join))
@example(b"..")
@example(b"\xff.\xff.\xff")
def test_no_header_breaks_the_gateway_or_opens_it(header):
    for authorization in (header, b"Bearer " + header, b"bearer\t" + header):
        try:
            opened().admit(authorization, "time")
        except (Refused, Undecided):
            continue
        raise AssertionError("a made-up token opened something")


@given(head=JSON, claims=CLAIMS, signature=st.text("AQab-_", max_size=90))
def test_no_made_up_token_is_read_as_anything_but_a_head_or_a_refusal(head, claims, signature):
    with contextlib.suppress(BadToken):
        assert isinstance(read_token_head(f"{part(head)}.{part(claims)}.{signature}".encode()), TokenHead)


@given(CLAIMS)
def test_claims_of_the_issuer_itself_give_an_identity_or_a_refusal(claims):
    token = jwt.api_jws.encode(json.dumps(claims).encode(), KEY.private, algorithm="ES256", headers={"kid": "k"})
    with contextlib.suppress(BadToken):
        head = read_token_head(token.encode())
        key = KEYS.find(head.key_id, head.algorithm)
        assert key is not None
        identity = verify(token.encode(), head, key, PROVIDER)
        assert identity.username.isprintable()
        assert claims["iss"] == ISSUER


@given(st.lists(KEY_MEMBERS, max_size=4) | JSON)
def test_every_key_set_is_read_or_refused(entries):
    with contextlib.suppress(BadKeys):
        assert isinstance(read_keys({"keys": entries}), KeySet)


@given(st.dictionaries(st.sampled_from(["issuer", "jwks_uri"]), JSON | st.just(ISSUER)))
def test_all_metadata_is_read_or_refused(document):
    with contextlib.suppress(BadMetadata):
        assert isinstance(keys_url(document, ISSUER), str)


@given(st.text(max_size=60) | st.builds("https://{}".format, st.text(max_size=40)))
def test_every_url_is_taken_apart_or_refused(text):
    with contextlib.suppress(BadURL):
        read = read_url(text, OutsideRules())
        assert read.outside.is_encrypted
        assert not set(read.authority + read.target) & set("\r\n\0 ")
        assert metadata_urls(text)
