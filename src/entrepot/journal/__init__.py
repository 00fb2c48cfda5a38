"""The one table of facts: an event is an audit record is an outbox row."""
