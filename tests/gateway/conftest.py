"""What tests of the gateway begin with."""

import pytest

from hubfarm.registry.paths import Paths
from hubfarm.registry.web_memory import ALWAYS, WebMemory
from tests.gateway.gateway_support import A


@pytest.fixture
def trusting(paths: Paths) -> Paths:
    """A farm that lets pages of A into its first hub unasked."""
    WebMemory(paths).note(A, "one", ALWAYS)
    return paths
