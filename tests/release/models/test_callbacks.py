"""What stops a training between its steps."""

from types import SimpleNamespace

import pytest

from release.models import callbacks
from release.values.errors import GatesFailed

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_a_logged_value_that_is_not_finite_stops_training(name: str) -> None:
    state = SimpleNamespace(global_step=7)

    with pytest.raises(GatesFailed, match="is inf after step 7"):
        callbacks.watch(lambda _: None).on_log(None, state, None, logs={name: float("inf")})
