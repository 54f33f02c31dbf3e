"""Exports: an adapter's judged weights in the formats of other engines, made of a run's saved files."""
