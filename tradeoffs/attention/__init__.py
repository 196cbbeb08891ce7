"""Token heat maps: captured from the model's cross-attention, and their file format."""
