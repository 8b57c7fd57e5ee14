"""Read the three tables as they were handed over: files, column by column, as text or as types."""
