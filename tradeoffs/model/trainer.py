"""What the training loop stands on: the networks that learn, on this process's device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from diffusers.training_utils import EMAModel

from tradeoffs.errors import InputError
from tradeoffs.jobs.devices import check_precision, default_device
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.lora import adapters
from tradeoffs.model.text import CachedTextEncoder, TextEncoder


@dataclass(frozen=True)
class TrainingSettings:
    """The config's section `training` for one data set; see there for units and meaning."""

    steps: int
    milestones: Sequence[int]
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    text_encoder_learning_rate: float | None
    weight_decay: float
    schedule: str
    warmup_steps: int
    text_dropout: float
    precision: str
    checkpoint_every: int
    gradient_checkpointing: bool
    ema_decay: float | None
    min_snr_gamma: float | None
    max_grad_norm: float | None
    log_every: int
    # what looks at the model on the way, and changes nothing of it
    validation_images: int = 0
    preview_every: int | None = None
    log_with: str | None = None


class Trainer:
    """The networks that learn, with their optimiser and moving average, on this process's device.

    unet: as accelerate prepared it
    encoder: from texts to the context, with a cache where the text encoder is frozen
    passes: the places that the process takes of every effective batch
    use_ema: puts the moving average in place of the weights; None without `ema_decay`
    """

    def __init__(self, model: LatentDiffusion, learnable: bool, settings: TrainingSettings):
        self.settings = settings
        self.accelerator = accelerator_for(settings.precision, learnable)
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        self.passes = passes_of(process, processes, settings.batch_size, settings.micro_batch_size)
        trained = trained_parts(model, learnable)
        if settings.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
            if learnable:
                model.text_encoder.activation_checkpointing_enable()
        model.to(self.device)
        groups = parameter_groups(trained, settings)
        self.parameters: list[torch.nn.Parameter] = [weight for group in groups for weight in group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
        *prepared, self.optimizer = self.accelerator.prepare(*trained.values(), optimizer)
        self.networks = dict(zip(trained, prepared, strict=True))
        self.unet, text_side = self.networks["unet"], model.networks | self.networks
        self.encoder = (TextEncoder if learnable else CachedTextEncoder)(
            model.tokenizer, text_side["text_encoder"], text_side.get("projection"), model.padding_masked
        )
        self.ema = EMAModel(self.parameters, decay=settings.ema_decay) if settings.ema_decay else None
        self.use_ema: Callable[[], None] | None = None
        if self.ema:
            self.use_ema = partial(self.ema.copy_to, self.parameters)
            self.accelerator.register_for_checkpointing(self.ema)
        for network in self.networks.values():
            network.train()

    @property
    def device(self) -> torch.device:
        """The process's device."""
        return self.accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.accelerator.is_main_process

    def here(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor on the process's device."""
        return tensor.to(self.device)

    def autocast(self):
        """A block that computes in the settings' precision."""
        return self.accelerator.autocast()

    @contextmanager
    def one_pass(self, part: slice) -> Iterator[None]:
        """A block with the forward and backward pass of one of `passes`; processes exchange gradients with the last."""
        with ExitStack() as contexts:
            if part is not self.passes[-1]:
                for network in self.networks.values():
                    contexts.enter_context(self.accelerator.no_sync(network))
            yield

    def backward(self, share: torch.Tensor) -> None:
        """Adds the gradients of a pass's share of the effective batch's mean loss.

        Those of a process's passes add up; but over processes they are averaged, not summed.
        """
        self.accelerator.backward(share * self.accelerator.num_processes)

    def update(self, rate: float) -> bool:
        """Takes the optimiser's step, which the moving average follows, and clears the gradients.

        rate: of the U-Net; the text encoder's own follows in proportion
        Returns False if fp16's scaler left the step out and lowered its scale.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["relative_rate"]
        if self.settings.max_grad_norm is not None:
            self.accelerator.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        scaler = self.accelerator.scaler  # accelerate's own flag does not see what a fused optimiser leaves out
        scale = scaler.get_scale() if scaler else 1.0
        self.optimizer.step()
        self.optimizer.zero_grad()
        stepped = scaler is None or scaler.get_scale() >= scale
        if self.ema and stepped:
            self.ema.step(self.parameters)
        return stepped

    def sums(self, *values: float | torch.Tensor) -> list[float]:
        """Each value summed over the processes."""
        stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32, device=self.device) for value in values])
        return self.accelerator.reduce(stacked, "sum").tolist()

    def load(self, state: str) -> None:
        """Loads weights, optimiser, scaler and average from a checkpoint's folder."""
        self.accelerator.load_state(state)
        if self.ema:  # it was loaded to the CPU
            self.ema.to(self.device)

    @contextmanager
    def as_used(self, average: bool = False) -> Iterator[None]:
        """A block without gradients in which the networks are as they are used, with `average` by the moving average of
        their weights; afterwards they are as before, bit for bit."""
        if average and self.ema:
            self.ema.store(self.parameters)
            self.ema.copy_to(self.parameters)
        self.finish()
        try:
            with torch.no_grad():
                yield
        finally:
            for network in self.networks.values():
                network.train()
            if average and self.ema:
                self.ema.restore(self.parameters)

    def finish(self) -> None:
        """Puts the networks in the state in which they are used."""
        for network in self.networks.values():
            network.eval()

    def record(self) -> dict[str, Any]:
        """Device, processes, division of the batch and precision."""
        return {
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type,
            "processes": self.accelerator.num_processes,
            "batch_size": self.settings.batch_size,
            "images_a_pass": max(part.stop - part.start for part in self.passes),
            "accumulated_passes": len(self.passes),
            "precision": self.settings.precision,
        }


def parameter_groups(trained: dict[str, torch.nn.Module], settings: TrainingSettings) -> list[dict[str, Any]]:
    """The optimiser's groups, one per network: the weights that learn, and their rate relative to the U-Net's."""
    of_text = settings.text_encoder_learning_rate or settings.learning_rate
    return [
        {
            "params": [weight for weight in part.parameters() if weight.requires_grad],
            "relative_rate": of_text / settings.learning_rate if name == "text_encoder" else 1.0,
        }
        for name, part in trained.items()
    ]


def passes_of(process: int, processes: int, batch_size: int, micro_batch_size: int) -> list[slice]:
    """The places of the effective batch that one of the processes takes, in passes of at most `micro_batch_size`.

    The batch is divided into contiguous parts, as even as can be, one per process. Raises InputError if there are more
    processes than places.
    """
    if processes > batch_size:
        raise InputError(
            f"training.batch_size: {batch_size} images cannot be divided among {processes} processes; "
            "raise it or lower resources.training_gpus"
        )
    start, end = (batch_size * number // processes for number in (process, process + 1))
    return [slice(first, min(first + micro_batch_size, end)) for first in range(start, end, micro_batch_size)]


def accelerator_for(precision: str, learnable: bool) -> Accelerator:
    """The device, or this process's among several, with autocast to `precision`.

    Raises InputError for a precision that the device does not have.
    """
    check_precision("training.precision", precision)
    return Accelerator(
        cpu=default_device() == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        kwargs_handlers=[
            # the others wait while the main process writes a checkpoint or a model
            InitProcessGroupKwargs(timeout=timedelta(hours=1)),
            # some text encoders have parts that do not reach the context, such as a pooler
            DistributedDataParallelKwargs(find_unused_parameters=learnable),
        ],
    )


def trained_parts(model: LatentDiffusion, learnable: bool) -> dict[str, torch.nn.Module]:
    """The networks that learn, by name, with gradients for their weights and for no others.

    Always the U-Net, and a projection behind the text encoder; with `learnable` the text encoder too. Of a network with
    adapters only these learn.
    """
    trained = {name: part for name, part in model.networks.items() if name in ("unet", "projection")}
    if learnable:
        trained["text_encoder"] = model.text_encoder
    for name, network in model.networks.items():
        adapted = adapters(network)
        network.requires_grad_(name in trained and not adapted)
        for weight in adapted if name in trained else ():
            weight.requires_grad_(True)
    return trained
