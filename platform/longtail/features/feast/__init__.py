"""The one adapter around Feast: definitions, tables, point-in-time reads, and the online store."""
