"""Multi-task and multi-domain recommender models in JAX."""

__version__ = "0.1.0"
