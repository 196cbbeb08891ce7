"""The diffusion times at which the original evaluates a model."""

from tradeoffs.errors import InputError


def evenly_spaced_steps(train_steps: int, steps: int) -> list[int]:
    """All of 1, 1 + c, 1 + 2c, ... below `train_steps` with c = train_steps // steps, descending: about `steps` times.

    981, 961, ..., 1 for (1000, 50); for (1000, 75) the 77 times 989, 976, ..., 1 (original: `make_ddim_timesteps`).
    Raises InputError if there are fewer times than steps.
    """
    if steps > train_steps:
        raise InputError(
            f"{steps} steps are more than the {train_steps} times that the base was trained on (num_train_timesteps in "
            "its scheduler_config.json); lower heat_maps.steps and sampling.steps"
        )
    return list(range(1, train_steps, train_steps // steps))[::-1]
