"""The answering engines there are, by name."""

from collections.abc import Mapping

from release.models.engines import openai, transformers, vllm
from release.models.engines.engine import Engine

ENGINES: Mapping[str, Engine] = {
    "openai": openai.opened,
    "transformers": transformers.opened,
    "vllm": vllm.opened,
}
