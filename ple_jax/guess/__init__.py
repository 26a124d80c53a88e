"""A first schema and experiment, guessed from the files themselves."""
