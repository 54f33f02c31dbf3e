"""Speed, measured in one run against a named baseline."""
