"""Puts a trained run to use."""
