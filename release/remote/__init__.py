"""A candidate made on somebody else's machine: sent, started, watched, brought home and proved here."""
