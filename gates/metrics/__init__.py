"""The gates: one module a metric, ``score(answers) -> Score``."""
