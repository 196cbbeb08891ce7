"""What the command `tradeoffs` does with a model, an image or finished results; each module has its Python function."""
