"""Where arrays live, and the process that holds them."""
