"""What is looked at before anything is made from the data; `registry.CHECKS` is the one list."""
