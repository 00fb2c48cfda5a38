"""Who asks: users, their passwords, the principal behind a request."""
