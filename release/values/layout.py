"""The names of the files that a release holds."""

FILE = "release.json"
"""Where a release holds its record."""
WEIGHTS = "adapter_model.safetensors"
DATA = {"train": "data/train.jsonl", "golden": "data/golden.jsonl"}
ANSWER_SCHEMA = "gates/answer.schema.json"
CHAT_TEMPLATE = "chat_template.jinja"
"""Where a tokenizer's folder, a run and a release hold the template."""
