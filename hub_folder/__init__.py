"""The embedded Hub: the Hub's protocol over a folder, on loopback. Knows nothing of releases."""
