"""Memory, time and cost before a run."""
