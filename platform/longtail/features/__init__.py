"""What the model sees: the registry's schema, vocabularies, encoding, and the Feast adapter."""
