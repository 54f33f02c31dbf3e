"""A candidate beside the base and earlier releases, and the record of it."""
