"""Tools that know nothing of registries."""
