"""One page about runs: the verdict in words, then tables and figures."""
