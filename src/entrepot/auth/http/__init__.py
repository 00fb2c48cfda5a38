"""The HTTP edge of accounts: users, groups, personal access tokens, sessions."""
