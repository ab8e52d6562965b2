"""The local Google Sheets over HTTP with Google's own client and gspread, which know nothing of each other's fakes."""

from __future__ import annotations

import json
import warnings
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from syncd.sandbox.control import Controlled
from syncd.sandbox.sheets import DRIVE, SHEETS, GoogleSheets
from syncd.sandbox.wire import Faulty, Served, serve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # google's packages warn about old Pythons and about each other
    import gspread
    from google.auth.transport.requests import AuthorizedSession
    from google.oauth2.service_account import Credentials
    from gspread.http_client import HTTPClient

BOOK = "1SandboxSpreadsheetOfDeals00000000000000000"


class Offline(Credentials):
    """Google's own credentials, which would otherwise ask a Google host in the background where the account may be."""

    def _maybe_start_regional_access_boundary_refresh(self, request: Any, url: Any) -> None:
        pass


class Local(HTTPAdapter):
    """Sends what is for Google's hosts to the local one."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._host = urlsplit(url).netloc

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.url = urlunsplit(urlsplit(str(request.url))._replace(scheme="http", netloc=self._host))
        return super().send(request, *args, **kwargs)


class Desk:
    """A local Google with one spreadsheet, served; `http` holds its faults and its log."""

    def __init__(self, **options: Any) -> None:
        self.google = GoogleSheets(**options)
        self.book = self.google.add_book(BOOK, "Deals of the sandbox")
        self.book.roles[self.google.email] = "writer"
        self.http = Faulty(self.google, clock=self.google.clock)
        self.served: Served = serve(Controlled(self.http, self.google), clock=self.google.clock)
        self._open: list[Any] = []

    @property
    def url(self) -> str:
        """Its address."""
        return self.served.url

    @property
    def key(self) -> str:
        """The service account's key file."""
        return self.google.credentials(self.url)

    def credentials(self, *scopes: str) -> Any:
        """Google's own credentials."""
        info = json.loads(self.key)
        return Offline.from_service_account_info(info, scopes=scopes or (SHEETS, DRIVE))  # type: ignore[no-untyped-call]

    def gspread(self) -> gspread.Spreadsheet:
        """The spreadsheet, opened by gspread."""
        session = AuthorizedSession(self.credentials())  # type: ignore[no-untyped-call]
        session.mount("https://", Local(self.url))
        self._open.append(session)
        client = gspread.Client(session.credentials, session=session, http_client=HTTPClient)
        return client.open_by_key(BOOK)

    def service(self, name: str = "sheets", version: str = "v4", *scopes: str) -> Any:
        """Google's own client, from the discovery document that it brings along."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from googleapiclient.discovery import build  # type: ignore[import-untyped]

        place = f"{self.url}/drive/v3/" if name == "drive" else self.url
        made = build(
            name,
            version,
            credentials=self.credentials(*scopes),
            static_discovery=True,
            client_options={"api_endpoint": place},
            cache_discovery=False,
        )
        self._open.append(made)
        return made

    def close(self) -> None:
        """Closes the clients and the server."""
        for one in self._open:
            one.close()
        self.served.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
