"""Evaluation-gated releases of LoRA adapters. Start reading at `pipeline.py`."""

__version__ = "0.1.0"
