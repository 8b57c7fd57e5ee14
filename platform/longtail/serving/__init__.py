"""What downstream code imports: lookup, neighbours, query encoding."""
