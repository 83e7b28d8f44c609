"""Core values as documents: what is written is read back, and what must not be written cannot."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import (
    AllocateAddress,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    Outcome,
    Pass,
    SetSecrets,
    Start,
    Stop,
    Update,
)
from reconciler.core.gateway_rules import GatewayRules, TokenGrant
from reconciler.core.secret import SecretValue
from reconciler.core.types import Revision, ServerStatus
from reconciler.errors import InternalFault
from reconciler.loop.store.documents import from_document, to_document

st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))


@pytest.mark.parametrize(
    "kind", [AllocateAddress, Create, CreateApp, Destroy, DestroyApp, SetSecrets, Start, Stop, Update, Revision]
)
def test_every_action_is_read_back_as_the_kind_that_was_written(kind):
    @given(value=st.from_type(kind))
    def round_trip(value):
        assert from_document(kind, to_document(value)) == value

    round_trip()


@given(value=st.from_type(ServerStatus) | st.from_type(Outcome))
def test_statuses_and_outcomes_are_read_back_as_they_were(value):
    assert from_document(type(value), to_document(value)) == value


@given(value=st.from_type(Pass))
def test_a_pass_is_read_back_as_it_was(value):
    assert from_document(Pass, to_document(value)) == value


def test_a_pattern_that_looks_like_our_own_mark_is_kept():
    rules = GatewayRules(tokens=(TokenGrant(name="ci", sha256="a" * 64, servers=(("$", ("Popen",)),)),))
    assert from_document(GatewayRules, to_document(rules)) == rules


def test_a_secret_cannot_be_written():
    with pytest.raises(TypeError, match="never stored"):
        to_document({"token": SecretValue("plain")})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no JSON"),
        pytest.param('{"$": "Popen", "args": ["true"]}', id="a class that is not ours"),
        pytest.param('{"$": "Revision"}', id="fields that are missing"),
        pytest.param('{"$": "Location", "file": "catwalk.yaml"}', id="another kind of value"),
    ],
)
def test_a_text_that_is_no_document_of_its_kind_is_refused(text):
    with pytest.raises(InternalFault, match="Revision"):
        from_document(Revision, text)
