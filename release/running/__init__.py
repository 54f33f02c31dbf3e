"""Where a stage runs: a child process or a container, on which machine."""
