"""Where accounts come from: one module a kind of identity provider."""
