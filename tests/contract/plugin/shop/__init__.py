"""Plugins for ple_jax that live in a package of their own."""
