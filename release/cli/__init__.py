"""The command line: commands, options, and what a terminal shows."""
