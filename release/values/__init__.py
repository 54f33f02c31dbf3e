"""What all stages hand on; imports nothing of release."""
