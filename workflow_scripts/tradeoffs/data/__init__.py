"""Raw files to prepared tables, and the demo's phantoms. Knows files, no torch model."""
