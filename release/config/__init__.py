"""release.yaml → frozen values."""
