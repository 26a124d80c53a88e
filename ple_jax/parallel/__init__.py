"""Where arrays live, and the processes that hold them."""
