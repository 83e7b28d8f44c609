"""An installation's tokens: asked for once, renewed ahead and after a refusal, and never shown."""

import base64
from datetime import timedelta

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError, EnvironmentFault, Unavailable
from reconciler.report.app_key import AppKey
from reconciler.report.connection import Connection
from reconciler.report.credentials import AppInstallation

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"


def test_the_claims_are_those_that_github_asks_for(key, private_key, clock):
    claims = jwt.decode(
        key.jwt(clock.now()).reveal(), private_key.public_key(), algorithms=["RS256"], options={"verify_exp": False}
    )
    now = int(clock.now().timestamp())
    assert claims == {"iat": now - 60, "exp": now + 540, "iss": "4711"}


@pytest.mark.parametrize("form", ["as it is", "with escaped line ends", "in Base64", "with space around"])
def test_a_key_is_read_in_the_forms_that_settings_have(pem, clock, form):
    forms = {
        "as it is": pem,
        "with escaped line ends": pem.replace("\n", "\\n"),
        "in Base64": base64.b64encode(pem.encode()).decode(),
        "with space around": f"\n {pem}\n\n",
    }
    assert AppKey("Iv1abc", SecretValue(forms[form])).jwt(clock.now()).reveal().count(".") == 2


def _other_keys():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("text", ["", "hunter2-hunter2", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n", _other_keys()])
def test_a_key_that_cannot_sign_is_refused_without_being_quoted(text):
    with pytest.raises(EnvironmentFault, match="CATWALK_GITHUB_APP_KEY") as fault:
        AppKey("1", SecretValue(text))
    assert "hunter2" not in str(fault.value)
    assert fault.value.__cause__ is None


@pytest.mark.parametrize("app_id", ["", "12/../..", "my app"])
def test_an_id_that_is_none_is_refused(pem, app_id):
    with pytest.raises(EnvironmentFault, match="CATWALK_GITHUB_APP_ID"):
        AppKey(app_id, SecretValue(pem))


async def test_a_token_is_for_this_repository_alone_and_asked_for_once(app_door, desk, repository):
    desk.tokens.clear()
    for _ in range(3):
        await app_door.call("GET", f"/repos/{repository.full_name}/issues/1/comments")
    assert desk.asked_for == [{"repositories": ["fleet"]}]


async def test_many_callers_share_one_request(installation, desk):
    tokens: list[str] = []

    async def ask() -> None:
        tokens.append((await installation.token()).reveal())

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert len(desk.asked_for) == 1
    assert len(tokens) == 50
    assert len(set(tokens)) == 1


async def test_a_token_is_renewed_ten_minutes_before_it_dies(installation, desk, clock):
    first = await installation.token()
    clock.forward(49 * 60)
    assert await installation.token() == first
    clock.forward(61)
    assert await installation.token() != first
    assert len(desk.asked_for) == 2


async def test_a_refused_token_is_replaced_and_the_call_repeated(app_door, desk, repository):
    path = f"/repos/{repository.full_name}/issues/1/comments"
    await app_door.call("GET", path)
    desk.tokens.clear()
    assert await app_door.call("GET", path) == b"[]"
    assert len(desk.asked_for) == 2


async def test_many_refused_callers_cause_one_renewal(installation, desk):
    old = await installation.token()
    fresh: list[str] = []

    async def renew() -> None:
        fresh.append((await installation.renewed(old)).reveal())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(renew)
    assert len(desk.asked_for) == 2
    assert len(set(fresh)) == 1


async def test_a_token_that_is_refused_again_is_not_tried_for_ever(app_door, desk, github, canned, repository):
    await app_door.call("GET", f"/repos/{repository.full_name}/issues/1/comments")
    seen = len(github.seen)
    refusal = canned(401, body={"message": "Bad credentials"})
    github.faults += [refusal, None, refusal]
    with pytest.raises(EnvironmentFault, match="Bad credentials"):
        await app_door.call("GET", f"/repos/{repository.full_name}/issues/1/comments")
    assert len(github.seen) - seen == 3


async def test_an_app_that_was_installed_anew_is_found_again(installation, desk, clock):
    await installation.token()
    desk.installation_id = 100
    clock.forward(3600)
    await installation.token()
    assert len(desk.asked_for) == 2


async def test_an_app_that_is_not_installed_says_so(installation, desk):
    desk.installation_id = None
    with pytest.raises(EnvironmentFault, match=r"4711 is not installed on github\.com/acme/fleet"):
        await installation.token()


async def test_a_clock_that_is_wrong_is_told(loopback, desk, key, repository, clock):
    class Early:
        def now(self):
            return clock.now() + timedelta(minutes=20)

    async with Connection(loopback[1], clock) as connection:
        with pytest.raises(EnvironmentFault, match=r"too far in the future.*clock of this machine"):
            await AppInstallation(key, repository, connection, Early()).token()


async def test_an_outage_is_not_remembered(installation, github, canned):
    github.faults.append(canned(503))
    with pytest.raises(Unavailable):
        await installation.token()
    assert (await installation.token()).reveal().startswith("ghs_")


async def test_neither_key_nor_tokens_are_shown(installation, app_door, key, pem, desk, github, canned, repository):
    token = (await installation.token()).reveal()
    github.faults.append(canned(422, body={"message": f"invalid: {token}"}))
    with capture_logs() as logged, pytest.raises(CatwalkError) as fault:
        await app_door.call("GET", f"/repos/{repository.full_name}/issues/1/comments")
    shown = f"{logged} {fault.value} {fault.value!r} {installation!r} {key!r}"
    assert "invalid: ****" in shown
    assert token not in shown
    assert pem.splitlines()[1] not in shown


async def test_an_error_of_the_app_s_own_calls_does_not_quote_the_jwt(loopback, desk, key, repository, clock, github):
    def echo(method, path, headers, body):
        return desk.canned(422, body={"message": headers["authorization"]})

    github.routes.insert(0, echo)
    async with Connection(loopback[1], clock) as connection:
        with pytest.raises(CatwalkError) as fault:
            await AppInstallation(key, repository, connection, clock).token()
    jwt_sent = github.seen[0][2]["authorization"].removeprefix("Bearer ")
    assert "Bearer ****" in str(fault.value)
    assert jwt_sent not in str(fault.value)


async def test_the_name_of_the_app_is_asked_for_once(installation, github):
    assert [await installation.login() for _ in range(2)] == ["catwalk-acme[bot]"] * 2
    assert [path for _, path, _ in github.seen] == ["/app"]
