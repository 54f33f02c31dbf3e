"""The command line: commands, options, and what a terminal shows."""


def main() -> None:
    """The command `adapter-release`."""
    from release.cli.__main__ import main

    main()
