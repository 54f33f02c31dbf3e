"""Why a folder cannot be served as a Hub: its message says what to do."""


class Unusable(Exception):
    """The folder, its token or the port cannot be used."""
