"""Airtable's refusals: their shapes, what they mean, sentences for people. Sections (§): reference/airtable.md."""

from __future__ import annotations

from typing import Any, Final

from syncd.http import NotJson, Reply, scrub
from syncd.sides import Misconfigured, SideDown
from syncd.values import clipped

REST_SECONDS: Final = 30.0  # after a 429 every call to the base fails for so long (§1)
LISTING_LOST: Final = frozenset({"LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "INVALID_OFFSET_VALUE"})
_ROW_GONE: Final = frozenset({"NOT_FOUND", "MODEL_ID_NOT_FOUND", "ROW_DOES_NOT_EXIST"})
_QUOTA_GONE: Final = "PUBLIC_API_BILLING_LIMIT_EXCEEDED"
_UNSAID: Final = "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"  # Airtable does not say which of the two it is (§9)
_SCOPES: Final = "data.records:read, data.records:write and schema.bases:read"


class Refusal(Exception):
    """An answer of 4xx. `kind` is Airtable's own word for it, "" where the body is in none of its four shapes (§9)."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(f"{status} {kind}")
        self.status, self.kind, self.message = status, kind, message

    @property
    def said(self) -> str:
        """What Airtable said, for the end of a sentence: its message, else its word, else the status."""
        return clipped(scrub(self.message or self.kind), 300).rstrip(".") or f"without a reason ({self.status})"

    @property
    def row_is_gone(self) -> bool:
        """Whether this is a not-found body of §9. A 403 never is: it conflates revoked access and a missing row."""
        return self.status in (404, 422) and self.kind in _ROW_GONE

    @property
    def unsaid(self) -> bool:
        """Whether Airtable leaves open if something is missing or forbidden."""
        return self.kind == _UNSAID

    @property
    def of_formula(self) -> bool:
        """Whether the formula of a listing is what was refused; a server may call it a bad request as well."""
        return self.kind == "INVALID_FILTER_BY_FORMULA" or (
            self.status in (400, 422) and self.kind not in LISTING_LOST | {"UNKNOWN_FIELD_NAME"}
        )


def parsed(status: int, body: Any, text: str = "") -> Refusal:
    """The refusal in `body` (JSON, any of the four shapes of §9); `text` is shown where it is none of them."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(body, dict) and error is None and isinstance(body.get("errors"), list) and body["errors"]:
        error = body["errors"][0]
    if isinstance(error, str):
        return Refusal(status, error, _text(body.get("message")))
    if isinstance(error, dict):
        kind = _text(error.get("type")) or _text(error.get("error"))
        return Refusal(status, kind, _text(error.get("message")) or kind or text)
    return Refusal(status, "", " ".join(text.split()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def on_429(reply: Reply) -> float:
    """`Http`'s hook: the seconds to rest. A used-up month is `SideDown` at once: no rest mends it (§1)."""
    try:
        refusal = parsed(reply.status, reply.json())
    except NotJson:
        refusal = parsed(reply.status, None)
    if refusal.kind == _QUOTA_GONE:
        raise SideDown(
            "The Airtable workspace has used up its API calls of this month, so nothing can be read or written until "
            "the next one begins. An owner of the workspace can change its plan; a longer interval needs fewer calls."
        )
    try:
        asked = float(reply.headers.get("retry-after", ""))
    except ValueError:
        return REST_SECONDS
    return max(asked, REST_SECONDS) if asked == asked else REST_SECONDS


def refused_token(refusal: Refusal, base_id: str) -> SideDown:
    """401."""
    return SideDown(
        f"Airtable refused the token ({refusal.said}): it is wrong, revoked or expired. Make one at "
        f"airtable.com/create/tokens with access to base {base_id} and the scopes {_SCOPES}, and put it where `token` "
        "of the configuration points."
    )


def refused_schema(refusal: Refusal, base_id: str) -> SideDown | Misconfigured:
    """What a refusal of the metadata means."""
    if refusal.status == 401:
        return refused_token(refusal, base_id)
    if refusal.unsaid or (refusal.status == 404 and refusal.kind):
        return Misconfigured(
            f"Airtable knows no base {base_id}, or the token has no access to it or lacks the scope schema.bases:read. "
            "Check base_id (it begins with app), and the bases and scopes of the token at airtable.com/create/tokens."
        )
    if refusal.status == 403 and refusal.kind:
        return SideDown(
            f"The Airtable token lacks the scope schema.bases:read, without which the columns of base {base_id} cannot "
            f"be read ({refusal.said}). Add it at airtable.com/create/tokens; the token stays the same."
        )
    return SideDown(f"Airtable refused to show the tables of base {base_id} ({refusal.status}): {refusal.said}.")


def refused_reading(refusal: Refusal, base_id: str, table: str) -> SideDown:
    """What a refusal to list or read rows means, where it is no single row's."""
    if refusal.status == 401:
        return refused_token(refusal, base_id)
    if refusal.status == 403 and refusal.kind:
        return SideDown(
            f"Airtable does not let the token read the rows of table “{table}” ({refusal.said}). It needs the scope "
            f"data.records:read and access to base {base_id}: see airtable.com/create/tokens."
        )
    return SideDown(f"Airtable refused to show the rows of table “{table}” ({refusal.status}): {refusal.said}.")


def refused_writing(refusal: Refusal, table: str) -> str:
    """The sentence for a write that the table or the token forbids, whatever row it is for."""
    if refusal.status == 403:
        return (
            f"Airtable does not let the token write to table “{table}” ({refusal.said}). It needs the scope "
            "data.records:write, and its user the right to edit the table."
        )
    return f"Airtable refuses to write to table “{table}”: {refusal.said}."
