"""The docks: thin windows on the engine."""
