"""`longtail init`: three tables become a Feast repository and a configuration that run."""
