"""The answering engines there are, by name."""

from collections.abc import Mapping

from release.models.engines import llama_cpp, openai, transformers, vllm
from release.models.engines.engine import Engine

ENGINES: Mapping[str, Engine] = {
    "llama.cpp": llama_cpp.opened,
    "openai": openai.opened,
    "transformers": transformers.opened,
    "vllm": vllm.opened,
}
