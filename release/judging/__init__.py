"""A candidate beside the base and previous releases, and the record of it."""
