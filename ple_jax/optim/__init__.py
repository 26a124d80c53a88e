"""Update rules: Optax chains for what is dense, our own for rows of tables."""
