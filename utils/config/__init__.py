"""config.json and the environment to sources, or to all that is wrong with them."""
