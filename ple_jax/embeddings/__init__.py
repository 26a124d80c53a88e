"""Embedding tables, and how a batch becomes the input of a model."""
