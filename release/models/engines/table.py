"""The answering engines there are, by name."""

from collections.abc import Mapping

from release.models.engines import llama_cpp, transformers
from release.models.engines.engine import Engine

ENGINES: Mapping[str, Engine] = {
    "transformers": transformers.opened,
    "llama.cpp": llama_cpp.opened,
}
