"""A published release looked at again: verified, explained, answered with again, made again."""
