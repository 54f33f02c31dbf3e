"""The base model, training and answering: torch and its like are imported here."""
