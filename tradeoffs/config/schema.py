"""The configuration's schema, which is closed: its sections, what they must agree on, and what follows from them."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from tradeoffs.config.sections.attention import Attention, HeatMaps
from tradeoffs.config.sections.data import Data, GroundingSet, Image
from tradeoffs.config.sections.evaluation import Classifier, Evaluation
from tradeoffs.config.sections.model import VARIANTS, Base, Encoder, Latents, Variant
from tradeoffs.config.sections.resources import Resources
from tradeoffs.config.sections.sampling import Sampling
from tradeoffs.config.sections.training import Training
from tradeoffs.config.starts import check_starts, source_of, start_of
from tradeoffs.config.values import PathText, Section, Seeds, folder_name, set_name, variant_name
from tradeoffs.data.findings import KINDS, NO_FINDING
from tradeoffs.data.sets import DATA_SETS, DataSet, data_set, further_set


class Config(Section):
    """The whole configuration of one run."""

    preset: str = Field(
        "demo", description="numbers to start from, of config/presets: demo, open, paper, paper_slurm or smoke"
    )
    run: Annotated[str, AfterValidator(folder_name)] | None = Field(
        None, description="folder in results/ that holds this run; null: the preset's name"
    )
    seeds: Seeds = Field([0], description="seeds of fine-tuning, heat-map noise and sampling, each a repeat of the run")
    data: Data = Field(Data(), description="images, reports and boxes")
    grounding: dict[Annotated[str, AfterValidator(set_name)], GroundingSet] = Field(
        {}, description="further sets of boxes by name, on which models of the run are scored"
    )
    image: Image = Field(Image(), description="image geometry")
    base: Base = Field(Base(), description="the model that is fine-tuned")
    encoders: dict[Annotated[str, AfterValidator(folder_name)], Encoder] = Field(
        {}, description="text encoders of any family by name, for variants to use in place of the base's own"
    )
    variants: dict[Annotated[str, AfterValidator(variant_name)], Variant] = Field(
        VARIANTS, description="rows of the tables by name; further ones are added, `name: false` leaves one out"
    )
    external: dict[Annotated[str, AfterValidator(variant_name)], PathText] = Field(
        {}, description="heat maps of other methods by name: .npz files that become rows of Tables 2 and 7"
    )
    external_samples: dict[Annotated[str, AfterValidator(variant_name)], PathText] = Field(
        {},
        description="radiographs that were made elsewhere, by name: a folder of images, or a CSV with path, prompt and "
        "Finding Labels; rows of Tables 1 and 3 and of the table by finding with every fidelity score",
    )
    training: Training = Field(Training(), description="fine-tuning")
    latents: Latents = Field(Latents(), description="the cache of encoded images")
    heat_maps: HeatMaps = Field(HeatMaps(), description="token heat maps on real images")
    attention: Attention = Field(Attention(), description="other heat-map methods")
    sampling: Sampling = Field(Sampling(), description="synthetic images")
    evaluation: Evaluation = Field(Evaluation(), description="scores")
    classifier: Classifier = Field(Classifier(), description="the findings classifier")
    resources: Resources = Field(Resources(), description="what a job may use")

    @field_validator("variants")
    @classmethod
    def _some_variant(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        if not variants:
            raise ValueError("no variant is left; keep at least one")
        return variants

    @model_validator(mode="after")
    def _sections_agree(self) -> "Config":
        if self.evaluation.kid_subset > self.sampling.images:
            raise ValueError(
                f"evaluation.kid_subset: {self.evaluation.kid_subset} is more than sampling.images "
                f"({self.sampling.images}); lower it or sample more"
            )
        if self.evaluation.ms_ssim.prompts > self.sampling.images:
            raise ValueError(
                f"evaluation.ms_ssim.prompts: {self.evaluation.ms_ssim.prompts} is more than sampling.images "
                f"({self.sampling.images}); lower it or sample more"
            )
        if self.resources.runtime_minutes > self.resources.max_runtime_minutes:
            raise ValueError(
                f"resources.runtime_minutes: {self.resources.runtime_minutes} is more than "
                f"resources.max_runtime_minutes ({self.resources.max_runtime_minutes}); lower it or raise the other"
            )
        for name, variant in self.variants.items():
            if variant.encoder is not None and variant.encoder not in self.encoders:
                known = ", ".join(self.encoders) or "none yet"
                raise ValueError(
                    f"variants.{name}.encoder: there is no encoder {variant.encoder}; add it to the section encoders "
                    f"(there: {known})"
                )
        for dataset in self.data.sets:
            if not self.variants_of(dataset):
                raise ValueError(f"variants: none is left for {dataset}; keep one with text impression")
        for name in self.variants:
            self._check_training(name)
        check_starts(self)
        for name, grounding in self.grounding.items():
            if grounding.models not in self.data.sets:
                raise ValueError(
                    f"grounding.{name}.models: {grounding.models} is not in data.sets; add it there or remove the set"
                )
        for name, variant in self.variants.items():
            if variant.weights == "ema" and self.training_of(self.data.sets[0], name)["ema_decay"] is None:
                raise ValueError(f"variants.{name}.weights: ema needs training.ema_decay, such as 0.999; set it")
            if self._trained_as(name) is None:
                raise ValueError(
                    f"variants.{name}.weights: ema needs a variant that is alike but for `weights: raw`, whose "
                    "fine-tuning keeps the average; add one"
                )
        return self

    @model_validator(mode="after")
    def _prompts_of_radiographs(self) -> "Config":
        if self.data.prompts and not any(DATA_SETS[name].has_findings for name in self.data.sets):
            raise ValueError("data.prompts: its texts are for radiographs; add cxr to data.sets or remove it")
        return self

    @model_validator(mode="after")
    def _rows_from_elsewhere(self) -> "Config":
        for section, names in (("external", self.external), ("external_samples", self.external_samples)):
            twice = sorted(set(names) & set(self.variants))
            if twice:
                raise ValueError(f"{section}.{twice[0]}: a variant has this name too; choose another")
            if names and not any(DATA_SETS[name].has_findings for name in self.data.sets):
                raise ValueError(
                    f"{section}.{min(names)}: stands beside radiographs; add cxr to data.sets or remove it"
                )
        return self

    def _check_training(self, variant: str) -> None:
        """Raises ValueError, which names the key, if the keys that a variant changes do not fit the others."""
        try:
            Training.model_validate(self.training.model_dump() | self._training_changes(variant))
        except ValidationError as error:
            problem = error.errors()[0]
            message = problem["msg"].removeprefix("Value error, ").replace("training.", f"variants.{variant}.training.")
            raise ValueError(f"variants.{variant}.training.{problem['loc'][0]}: {message}") from None

    def _training_changes(self, variant: str) -> dict[str, Any]:
        changes = self.variants[variant].training
        return {} if changes is None else changes.model_dump(exclude_none=True)

    def dump(self) -> dict[str, Any]:
        """The configuration as a plain dict that JSON and YAML can hold."""
        return self.model_dump(mode="json")

    def seeds_of(self, variant: str) -> list[int]:
        """The seeds of a variant: its own or the run's."""
        return self.variants[variant].seeds or self.seeds

    def sampled_from(self, variant: str) -> str:
        """The kind of text that a variant's samples are drawn from."""
        own = self.variants[variant].text
        return own if self.sampling.text == "own" or own in KINDS else "impression"

    def unconditional_text(self, variant: str) -> str:
        """The text that guidance leads away from in a variant's samples."""
        of_labels = self.variants[variant].text == "finding_labels"
        return NO_FINDING if of_labels and self.sampling.unconditional == "no_finding" else ""

    def has_training(self, variant: str) -> bool:
        """Whether a variant has a fine-tuning of its own."""
        return self.variants[variant].finetune and self.trained_as(variant) == variant

    def trained_as(self, variant: str) -> str:
        """The variant whose fine-tuning makes the weights of a variant: itself, or for an average the one alike."""
        name = self._trained_as(variant)
        assert name is not None  # as validated
        return name

    def _trained_as(self, variant: str) -> str | None:
        if self.variants[variant].weights == "raw":
            return variant
        trained = {
            name: other.model_copy(update={"weights": "ema", "sets": None, "seeds": None, "main": True})
            for name, other in self.variants.items()
            if other.weights == "raw"
        }
        own = self.variants[variant].model_copy(update={"sets": None, "seeds": None, "main": True})
        return next((name for name, other in trained.items() if other == own), None)

    def models_of(self, dataset: str) -> str:
        """The data set whose models are scored on a data set: itself, or that of a further set of boxes."""
        return self.grounding[dataset].models if dataset in self.grounding else dataset

    def set_of(self, dataset: str) -> DataSet:
        """What the code asks of a data set: cxr, coco or a further set of boxes."""
        if dataset in self.grounding:
            of_set = self.grounding[dataset]
            return further_set(of_set.title or dataset, [*of_set.texts])
        return data_set(dataset, self.data.cxr)

    def variants_of(self, dataset: str) -> list[str]:
        """The variants that a data set has: one without findings has captions alone to train on."""
        dataset = self.models_of(dataset)
        has_findings = self.set_of(dataset).has_findings
        return [
            name
            for name, variant in self.variants.items()
            if (has_findings or (variant.text == "impression" and variant.attention_regularisation is None))
            and dataset in (variant.sets or self.data.sets)
        ]

    def main_variants_of(self, dataset: str) -> list[str]:
        """The variants of Tables 1, 2 and 7: the `main` ones of those conditioned on a data set's own texts."""
        shown = {name for name, variant in self.variants.items() if variant.main and variant.text == "impression"}
        return [name for name in self.variants_of(dataset) if name in shown]

    def pairs_of(self, dataset: str) -> list[tuple[str, str]]:
        """The pairs of a frozen and a learnable variant (whole or by LoRA) of a data set that are otherwise alike."""
        names = self.main_variants_of(dataset) if dataset in self.grounding else self.variants_of(dataset)
        tuned = {name: self.variants[name] for name in names if self.variants[name].finetune}
        likeness = {
            name: variant.model_dump(exclude={"text_encoder", "lora_rank", "sets", "seeds", "main"})
            for name, variant in tuned.items()
        }
        return [
            (frozen, learnable)
            for frozen, one in tuned.items()
            for learnable, other in tuned.items()
            if one.text_encoder == "frozen" != other.text_encoder and likeness[frozen] == likeness[learnable]
        ]

    @property
    def training_gpus(self) -> int:
        """GPUs of a fine-tuning job."""
        own = self.resources.training_gpus
        return self.resources.gpus if own is None else own

    def extractors_of(self, dataset: str) -> dict[str, str]:
        """Names of the feature extractors of a data set: `general`, with findings `domain`, and `vit` if given."""
        given = self.evaluation.extractors
        names = {"general": "inception" if given.inception else "efficientnet_lite0"}
        if self.set_of(dataset).has_findings:
            networks = ("xrv_densenet121_all", "findings_classifier")
            names["domain"] = next((name for name in networks if getattr(given, name)), "own_classifier")
        return names | ({"vit": "dinov2"} if given.dinov2 else {})

    def step_of(self, dataset: str, variant: str, checkpoint: str = "final") -> int:
        """The step of fine-tuning at which a model is scored, counted from the base (or a model of the user's), which
        is at step 0, through the variants that it started from."""
        if not self.variants[variant].finetune:
            return 0
        steps = self.training_of(dataset, variant)["steps"]
        own = steps if checkpoint == "final" else int(checkpoint.removeprefix("step"))
        start = start_of(self.variants[variant])
        if start is None:
            return own
        return own + self.step_of(dataset, start.variant, f"step{start.step}" if start.step else "final")

    def origin_of(self, variant: str) -> str | None:
        """The variant whose model of the user's a variant is or started from, by whatever others; None: the base."""
        start = start_of(self.variants[variant])
        if start:
            return self.origin_of(start.variant)
        return variant if source_of(self.variants[variant]) else None

    def training_of(self, dataset: str, variant: str | None = None) -> dict[str, Any]:
        """The section `training` with the steps and milestones of one data set, and what a variant changes of it."""
        names = ("steps", "milestones")
        settings = self.training.model_dump() | (self._training_changes(variant) if variant else {})
        key_of = self.set_of(self.models_of(dataset)).training_key
        settings |= {name: settings[key_of(name)] for name in names}
        of_others = {one.training_key(name) for one in DATA_SETS.values() for name in names}.difference(names)
        return {key: value for key, value in settings.items() if key not in of_others}
