import pytest

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.fly.authorization import authorization

HEADERS = [
    pytest.param("fm2_abc", "FlyV1 fm2_abc", id="bare macaroon"),
    pytest.param("FlyV1 fm2_abc", "FlyV1 fm2_abc", id="as fly tokens prints it"),
    pytest.param("Bearer FlyV1 fm2_abc", "FlyV1 fm2_abc", id="as the documentation's curl sends it"),
    pytest.param("Bearer FlyV1fm2_abc", "FlyV1 fm2_abc", id="the form that Fly refuses with 401"),
    pytest.param("FlyV1fm2_abc", "FlyV1 fm2_abc", id="scheme stuck to the token"),
    pytest.param(" flyv1  fm2_abc \n", "FlyV1 fm2_abc", id="blanks and case"),
    pytest.param("FlyV1 fm1r_a,fm1a_b, fm2_c", "FlyV1 fm1r_a,fm1a_b,fm2_c", id="permission and discharge"),
    pytest.param("oauth123", "Bearer oauth123", id="OAuth token"),
    pytest.param("Bearer oauth123", "Bearer oauth123", id="OAuth token with its scheme"),
    pytest.param("oauth123,fm2_abc", "FlyV1 fm2_abc", id="mixed, as fly auth token prints it"),
    pytest.param("bearertoken", "Bearer bearertoken", id="a token that begins like a scheme"),
]


@pytest.mark.parametrize(("token", "header"), HEADERS)
def test_every_stored_form_of_a_token_becomes_the_header_that_fly_accepts(token, header):
    assert authorization(SecretValue(token)) == header


@pytest.mark.parametrize("token", ["", " ", "FlyV1 ", ",", "fm2_a\r\nX: y", "fm2_ä", "two words"])
def test_a_text_that_is_no_token_is_refused_without_quoting_it(token):
    with pytest.raises(EnvironmentFault) as refusal:
        authorization(SecretValue(token))
    assert refusal.value.problem.code == "fly-token-unusable"
    assert not token.strip(" ,") or token not in str(refusal.value)
