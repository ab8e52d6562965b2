"""Access to Google with a service account's key file: google-auth signs, our own `Http` carries.

A token is good for an hour and shared by all pairs of this process that have the same key.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from syncd.http import Bucket, Http, HttpError, Retry, conceal, scrub
from syncd.sides import Misconfigured, SideDown

if TYPE_CHECKING:
    from google.auth.exceptions import GoogleAuthError

SCOPES: Final = (
    "https://www.googleapis.com/auth/spreadsheets",
    "https://www.googleapis.com/auth/drive.metadata.readonly",
)
GOOGLES_OWN: Final = ("oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com")
RENEWED_BEFORE_SECONDS: Final = 300.0
_FIELDS: Final = ("client_email", "private_key", "token_uri")
_MAKE_ONE: Final = (
    "Make a key for a service account in the Google Cloud console (IAM & Admin, Service Accounts, Keys, type JSON), "
    "and put the file where `credentials` points."
)


class ServiceAccount:
    """Tokens for one service account. One thread at a time; `email` is the address that sheets are shared with."""

    def __init__(self, key_file: str, **http: Any) -> None:
        """Takes the text of a key file; nothing is sent yet. Raises `Misconfigured` for one that cannot be used."""
        info = _info(key_file)
        self.email = info["client_email"]
        self._known_by = (self.email, info.get("private_key_id", ""), info["token_uri"])
        self._credentials = _credentials(info)
        parts = urlsplit(info["token_uri"])
        self.http = Http(
            f"{parts.scheme}://{parts.netloc}", headers={}, bucket=Bucket.unlimited(), name="Google's sign-in", **http
        )

    def token(self) -> str:
        """A token that is good for some minutes yet. Raises `SideDown` with what to mend."""
        with _lock:
            token, until = _tokens.get(self._known_by, ("", 0.0))
        if token and self.http.now() < until:
            return token
        token, until = self._fetched()
        with _lock:
            _tokens[self._known_by] = token, until
        return token

    def forget(self, token: str) -> None:
        """This token was refused: the next one is a new one."""
        with _lock:
            if _tokens.get(self._known_by, ("", 0.0))[0] == token:
                del _tokens[self._known_by]

    def _fetched(self) -> tuple[str, float]:
        from google.auth.exceptions import GoogleAuthError

        try:
            self._credentials.refresh(_Carrier(self.http))
        except HttpError as error:
            raise SideDown(str(error)) from error
        except GoogleAuthError as error:
            raise self._down(error) from error
        except (TypeError, ValueError, AttributeError, KeyError) as error:  # google-auth trusts the answer's form
            raise SideDown(
                "Google's sign-in answered with something that is no token; a proxy may be in between."
            ) from error
        token, expiry = self._credentials.token, self._credentials.expiry
        if not isinstance(token, str) or not token.isprintable() or not token.isascii():
            raise SideDown("Google's sign-in answered without a token that can be used.")
        left = (expiry - datetime.now(UTC).replace(tzinfo=None)).total_seconds() if expiry else 0.0
        conceal(token)
        return token, self.http.now() + left - RENEWED_BEFORE_SECONDS

    def _down(self, error: GoogleAuthError) -> SideDown:
        """The sentence for a refused sign-in."""
        answer = next((one for one in error.args if isinstance(one, dict)), {})
        said = scrub(answer.get("error_description") or answer.get("error") or error.args[0])[:300].rstrip(".")
        if "reasonable timeframe" in said:
            low, high = self.http.clock_offset.interval
            off = f" by about {abs(low + high) / 2:.0f} s" if high - low < 3600 else ""
            return SideDown(
                f"Google does not accept the time of this computer: its clock is off{off} (“{said}”). Let it be set "
                "by a time server."
            )
        if "signature" in said.lower():
            return SideDown(
                f"Google no longer accepts the key of {self.email}: it was deleted or replaced. {_MAKE_ONE}"
            )
        if "account not found" in said or answer.get("error") == "invalid_client":
            return SideDown(f"Google knows no service account {self.email}: it was deleted. {_MAKE_ONE}")
        return SideDown(f"Google lets {self.email} not in: {said}.")

    def close(self) -> None:
        """Closes the connection."""
        self.http.close()


_lock = threading.Lock()
_tokens: dict[tuple[str, str, str], tuple[str, float]] = {}  # until when each may be used, by our own clock


class _Answer:
    """What google-auth expects a transport to return."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status, self.headers, self.data = status, headers, data


class _Carrier:
    """google-auth's transport over `Http`. Asking twice for a token does no harm, so it is repeated like a read."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_options: Any,
    ) -> _Answer:
        reply = self._http.request(method, url, retry=Retry.READ, content=body, headers=headers or {})
        return _Answer(reply.status, reply.headers, reply.content)


def _info(key_file: str) -> dict[str, str]:
    """The key file's fields. Raises `Misconfigured`; the text holds nothing of the key."""
    try:
        found = json.loads(key_file)
    except ValueError:
        raise Misconfigured(f"The Google credentials are no JSON. {_MAKE_ONE}") from None
    kind = found.get("type") if isinstance(found, dict) else None
    if kind != "service_account":
        what = f"of type “{scrub(kind)[:40]}”" if isinstance(kind, str) and kind else "no key file"
        raise Misconfigured(f"The Google credentials are {what}; a service account's key is needed. {_MAKE_ONE}")
    if missing := [name for name in _FIELDS if not isinstance(found.get(name), str) or not found[name].strip()]:
        raise Misconfigured(f"The Google credentials lack {' and '.join(missing)}. {_MAKE_ONE}")
    uri = urlsplit(found["token_uri"])
    own = uri.scheme == "https" and uri.netloc in GOOGLES_OWN
    local = uri.scheme in ("http", "https") and uri.hostname == "127.0.0.1" and "@" not in uri.netloc
    if not (own or local):
        raise Misconfigured(
            f"The Google credentials name {scrub(found['token_uri'])[:100]} as the place to sign in, which is not "
            f"Google's: somebody may have changed the file. {_MAKE_ONE}"
        )
    conceal(found["private_key"])
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _credentials(info: Mapping[str, str]) -> Any:
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.service_account import Credentials

    # Nothing but these: another field could send the signed request elsewhere.
    own = {name: info[name] for name in ("type", "private_key_id", *_FIELDS) if name in info}
    try:
        return Credentials.from_service_account_info(own, scopes=SCOPES)  # type: ignore[no-untyped-call]
    except (GoogleAuthError, ValueError, TypeError):
        raise Misconfigured(f"The private key in the Google credentials cannot be read. {_MAKE_ONE}") from None
