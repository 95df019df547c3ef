"""What the tests of the wire share."""

from __future__ import annotations

import pytest

from aistore.sdk import Bucket


@pytest.fixture
def name(bucket: Bucket) -> str:
    return bucket.name
