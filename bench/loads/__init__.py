"""The loads: one module a kind of work, one function a row."""
