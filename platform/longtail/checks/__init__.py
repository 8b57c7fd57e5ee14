"""The checks that run before anything is made from the data; `registry.CHECKS` lists them all."""
