"""Why a folder cannot be served as a Hub, or a request is not granted: the message says what to do."""


class Unusable(Exception):
    """The folder, its token or the port cannot be used."""


class Refusal(Exception):
    """A request the store does not grant, in the Hub's own terms: an HTTP status, a message, an error code."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.commit = status, message, code, commit
