"""Metrics: exact on the host, streaming on the device, and their spread over runs."""
