"""A repository of the user's own: proposed from the rows, written from a template, and compared with what it was."""
