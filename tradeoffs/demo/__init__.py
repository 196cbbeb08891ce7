"""What stands in for data and model in the demo: phantoms, scenes and the base."""
