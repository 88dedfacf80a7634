"""The event log in memory: broker, producer, consumer, and what reads outside of any group."""
