"""What a principal may do: one pure ``decide()``, the token service."""
