"""A service account's key file: what is refused, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from syncd.sandbox.wire import Fault
from syncd.sides import Misconfigured, SideDown
from syncd.tables.google_auth import SCOPES, ServiceAccount
from tests.google.conftest import Clock
from tests.sandbox.google import Desk


def changed(desk: Desk, **fields: Any) -> str:
    """The key file with other fields; None takes one out."""
    info = {**json.loads(desk.key), **fields}
    return json.dumps({name: value for name, value in info.items() if value is not None})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda desk: "not JSON", "are no JSON"),
        (lambda desk: "", "are no JSON"),
        (lambda desk: "[]", "are no key file"),
        (lambda desk: changed(desk, type="authorized_user"), "of type “authorized_user”; a service account's key is"),
        (lambda desk: changed(desk, type=None), "are no key file"),
        (lambda desk: changed(desk, private_key=None, client_email=""), "lack client_email and private_key"),
        (lambda desk: changed(desk, private_key="nonsense"), "private key in the Google credentials cannot be read"),
        (lambda desk: changed(desk, token_uri="https://evil.example/token"), "which is not Google's"),
        (lambda desk: changed(desk, token_uri="http://oauth2.googleapis.com/token"), "which is not Google's"),
        (lambda desk: changed(desk, token_uri="https://oauth2.googleapis.com.evil.example/token"), "is not Google's"),
        (lambda desk: changed(desk, token_uri="http://127.0.0.1@evil.example/token"), "which is not Google's"),
        (lambda desk: changed(desk, token_uri="http://127.0.0.1.evil.example/token"), "which is not Google's"),
    ],
)
def test_a_key_file_that_cannot_be_used(desk: Desk, spoil: Callable[[Desk], str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says) as caught:
        ServiceAccount(spoil(desk))
    assert "put the file where `credentials` points" in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize("uri", ["https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token"])
def test_googles_own_places_to_sign_in(desk: Desk, uri: str) -> None:
    account = ServiceAccount(changed(desk, token_uri=uri))
    assert account.http.base_url == uri.rpartition("/o/")[0] or uri.startswith(account.http.base_url)
    account.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda desk, clock: desk.google.set(key_revoked=True), "no longer accepts the key of syncd@sandbox"),
        (lambda desk, clock: desk.google.set(account_deleted=True), "knows no service account syncd@sandbox"),
        (lambda desk, clock: setattr(clock, "offset", 7200.0), "clock is off by about 7[12]"),
        (lambda desk, clock: setattr(clock, "offset", -900.0), "clock is off by about (89|90)"),
    ],
)
def test_a_refused_sign_in_names_the_mend(
    desk: Desk, clock: Clock, spoil: Callable[[Desk, Clock], None], says: str
) -> None:
    desk.google.set(skew=300.0)
    spoil(desk, clock)  # the server's clock: google-auth and the account have the real one
    account = ServiceAccount(desk.key, sleep=clock.sleep)
    with pytest.raises(SideDown, match=says) as caught:
        account.token()
    assert "PRIVATE KEY" not in str(caught.value)
    account.close()


def test_other_refusals_and_faults_are_sentences(desk: Desk, clock: Clock) -> None:
    account = ServiceAccount(desk.key, sleep=clock.sleep)
    answers: list[dict[str, Any]] = [
        {"status": 400, "body": {"error": "invalid_scope", "error_description": "Empty or missing scope."}},
        {"status": 403, "body": {"error": "access_denied"}},
        {"status": 200, "body": {"token_type": "Bearer"}},
        {"status": 200, "body": b"<html>"},
        {"status": 400, "body": b"no JSON"},
        {"status": 200, "body": {"access_token": 5, "expires_in": 3600}},
        {"status": 200, "body": {"access_token": "a\nb", "expires_in": 3600}},
        {"status": 503, "times": 99},
        {"cut": True, "times": 99},
    ]
    for answer in answers:
        desk.http.faults[:] = [Fault(path="/token", **answer)]
        with pytest.raises(SideDown) as caught:
            account.token()
        assert str(caught.value).startswith(("Google", "The connection to Google's sign-in")), answer
        assert "Traceback" not in str(caught.value)
        assert "{" not in str(caught.value)
    desk.http.faults.clear()
    assert account.token().startswith("ya29.")
    account.close()


def test_it_asks_for_these_scopes_and_nothing_but_a_token(desk: Desk) -> None:
    account = ServiceAccount(changed(desk, universe_domain="evil.example", quota_project_id="x"))
    account.token(), account.token()
    assert [line.path for line in desk.http.log] == ["/token"]
    ((_, scopes),) = desk.google._tokens.values()
    assert scopes == set(SCOPES)
    account.close()
