"""A trained run put to use."""
