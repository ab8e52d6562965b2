"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest import mock

import pytest


@pytest.fixture(scope="session", autouse=True)
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where this process tells others which calls it has sent: tests shall not wait for each other's."""
    with mock.patch.dict(os.environ, {"RUNTIME_DIRECTORY": str(tmp_path_factory.mktemp("run"))}):
        yield
