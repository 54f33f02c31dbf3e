"""A record says that the base was loaded as its configuration asks for, or is refused."""

from pathlib import Path

import pytest

from release.checking import verify_stages
from release.config.settings import Attention
from release.models import loading
from tests.helpers.small_release import small_settings


@pytest.mark.parametrize("asked", [None, "eager", "sdpa", "flash_attention_2"])
@pytest.mark.parametrize("told", [None, "eager", "sdpa", "flash_attention_2"])
def test_the_attention_that_is_recorded_is_the_one_that_was_asked_for(
    asked: Attention | None, told: Attention | None, tmp_path: Path
) -> None:
    config = small_settings(tmp_path, model={"attn_implementation": asked} if asked else {})
    assert config.model.attn_implementation == asked
    recorded = loading.loaded_on(config.adapter, "nf4", told, cuda=True).told

    found = list(verify_stages._other("answering", recorded, config, None, cuda=True))

    assert bool(found) == (asked != told)
    assert all("attn_implementation" in one for one in found)
