"""The REST edge of rights: members, roles, robot accounts, permissions."""
