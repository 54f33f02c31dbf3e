"""All that is said to a Hub.

huggingface_hub reads its settings while it is imported, so the two that are ours stand here, before any module of it.
"""

import os
import sys

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if not sys.stderr.isatty():
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
