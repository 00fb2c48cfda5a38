"""The words of the OCI specifications: pure values, no I/O."""
