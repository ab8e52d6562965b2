"""Google's refusals: their shapes, what they mean, sentences for people. And how long to rest after a 429.

Google asks for truncated exponential backoff after 429 and 503 (its usage limits and its guide to errors). A 503 to a
read is repeated that way by `Http`; one to a write leaves open whether it took effect, so it is settled by reading.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from syncd.http import Reply, scrub
from syncd.sides import Misconfigured, SideDown
from syncd.values import clipped

FIRST_REST_SECONDS: Final = 1.0
LONGEST_REST_SECONDS: Final = 64.0  # the quotas are filled up again every minute


class Refusal(Exception):
    """An answer of 4xx: nothing happened. `word` is Google's own for it ("INVALID_ARGUMENT"), `reason` the finer one
    ("SERVICE_DISABLED"), `link` where it says that this can be mended; "" where it says none."""

    def __init__(self, status: int, word: str = "", message: str = "", reason: str = "", link: str = "") -> None:
        super().__init__(f"{status} {word}")
        self.status, self.word, self.message, self.reason, self.link = status, word, message, reason, link

    @property
    def said(self) -> str:
        """What Google said, for the end of a sentence."""
        return clipped(scrub(self.message or self.word), 300).rstrip(".") or f"without a reason ({self.status})"

    @property
    def off_grid(self) -> bool:
        """Whether a row or column was named that the sheet no longer has."""
        return self.status == 400 and any(
            words in self.message
            for words in ("exceeds grid limits", "beyond the last requested", "doesn't exist", "No grid with id")
        )

    @property
    def no_such_sheet(self) -> bool:
        """Whether a range could not be read, which is how Google says that there is no sheet of that name."""
        return self.status == 400 and "Unable to parse range" in self.message


def parsed(status: int, body: Any, text: str = "") -> Refusal:
    """The refusal in `body` (JSON): the form of Sheets, or Drive's older one; `text` is shown where it is neither."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return Refusal(status, message=" ".join(text.split()))
    reason, link = "", ""
    for one in [*_dicts(error.get("errors")), *_dicts(error.get("details"))]:
        metadata = one.get("metadata")
        reason = _text(one.get("reason")) or reason
        link = _text(metadata.get("activationUrl")) if isinstance(metadata, dict) else link
    return Refusal(status, _text(error.get("status")), _text(error.get("message")) or text, reason, link)


def _dicts(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class Backoff:
    """`Http`'s `on_429`: rests of 1, 2, 4 … 64 s, each with up to a second more; longer ones where Google asks so."""

    def __init__(self, rng: Callable[[], float] = random.random) -> None:
        self._rng = rng
        self._refused = 0

    def __call__(self, reply: Reply) -> float:
        """Seconds to rest."""
        rest = min(FIRST_REST_SECONDS * float(2**self._refused), LONGEST_REST_SECONDS) + self._rng()
        self._refused += 1
        try:
            asked = float(reply.headers.get("retry-after", ""))
        except ValueError:
            return rest
        return max(rest, asked)  # of two, a NaN as the second loses

    def over(self) -> None:
        """A request was answered: the next 429 begins with the shortest rest."""
        self._refused = 0


def refused(refusal: Refusal, email: str, spreadsheet_id: str, *, writing: bool = False) -> SideDown | Misconfigured:
    """What a refusal means that no single row is to blame for."""
    if refusal.status == 401:
        return SideDown(
            f"Google refused the access of {email} ({refusal.said}). If this goes on, make a new key for the service "
            "account, and put its file where `credentials` points."
        )
    if refusal.reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        return SideDown(
            f"The Google Sheets API is not switched on in the Cloud project of {email}. Enable it"
            f"{f' at {refusal.link}' if refusal.link else ' in the Google Cloud console'}, and wait a few minutes."
        )
    if refusal.status == 403 and "PERMISSION_DENIED" in (refusal.word, refusal.reason) and writing:
        return Misconfigured(
            f"{email} may look at the spreadsheet {spreadsheet_id}, but not write to it. Share it with {email} as an "
            "editor."
        )
    if refusal.status == 403:
        return Misconfigured(
            f"{email} may not see the spreadsheet {spreadsheet_id} ({refusal.said}). Share it with {email} as an "
            "editor: it is shared like with a person, by that address."
        )
    if refusal.status == 404:
        return Misconfigured(
            f"Google knows no spreadsheet {spreadsheet_id}. The id stands in its address, between /d/ and /edit; check "
            f"spreadsheet_id, and that the spreadsheet is shared with {email}."
        )
    if refusal.word == "FAILED_PRECONDITION":
        return Misconfigured(
            f"{spreadsheet_id} is no Google spreadsheet but a file of another kind, such as an Excel workbook "
            f"({refusal.said}). Open it, choose “Save as Google Sheets” in its File menu, and take the new one's id."
        )
    what = "be written to" if writing else "show its cells"
    return SideDown(f"Google refused to let the spreadsheet {what} ({refusal.status}): {refusal.said}.")
