"""Rows: read from files or a Hub, checked, and turned into token ids."""
