"""Scores of heat maps and of samples. Knows arrays and tables, no diffusion model."""
