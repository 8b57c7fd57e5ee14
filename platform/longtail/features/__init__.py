"""What the model sees: schema from the Feast registry, vocabularies, encoding, the Feast adapter."""
