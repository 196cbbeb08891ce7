"""Raw files to prepared tables. Knows files, no torch model."""
