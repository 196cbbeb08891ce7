"""The latent diffusion model: its parts, its text side and its cached latents."""
