"""What data and models have to say before anybody trains in earnest."""
