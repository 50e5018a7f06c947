"""A server for each test. `served.py`, `asking.py` and `instant.py` are no tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from served import Served, serving


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as server:
        yield server
