"""The PyTorch side: child processes of an environment with torch, and no JAX."""
