"""The configuration: one closed schema, its layers, and errors that name the key and the remedy."""
