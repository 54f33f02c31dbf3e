"""An adapter that was trained elsewhere: read, checked against its base, and written as PEFT's."""
