"""All that is said to a Hub."""
