"""Radiology reports for phantoms: phrases, impressions and whole reports in varied wording."""

import numpy as np

from tradeoffs.demo.phantoms import Finding

# {a}: a size or severity and a space, or nothing; {side}: right, left or bilateral; {zone}: a place in the lung.
# A few phrases avoid the finding's own name, as real ones do.
_PHRASES = {
    "Atelectasis": (
        "{a}{side} {zone} atelectasis",
        "plate-like atelectasis in the {side} {zone}",
        "linear atelectasis at the {side} {zone}",
        "{side} {zone} atelectatic bands",
        "subsegmental atelectasis on the {side}",
    ),
    "Cardiomegaly": (
        "{a}cardiomegaly",
        "{a}cardiomegaly is present",
        "{a}enlargement of the cardiac silhouette",
        "cardiac silhouette is enlarged",
        "the heart is {a}enlarged",
    ),
    "Consolidation": (
        "{a}{side} {zone} consolidation",
        "dense consolidation in the {side} {zone}",
        "focal consolidation in the {side} {zone}",
        "{side} {zone} consolidative change with air bronchograms",
        "{a}consolidation on the {side}",
    ),
    "Edema": (
        "{a}{side} pulmonary edema",
        "{a}{side} interstitial edema",
        "{side} perihilar edema",
        "{a}edema, {side}",
    ),
    "Lung Opacity": (
        "{a}{side} {zone} opacity",
        "hazy opacity in the {side} {zone}",
        "ill-defined opacity projecting over the {side} {zone}",
        "{a}opacification of the {side} {zone}",
        "{side} {zone} ground-glass density",
    ),
    "Pleural Effusion": (
        "{a}{side} pleural effusion",
        "{a}pleural effusion on the {side}",
        "{side} effusion, {a}in size",
        "layering {side} pleural effusion",
        "blunting of the {side} costophrenic angle by pleural effusion",
    ),
    "Pneumonia": (
        "{a}{side} {zone} pneumonia",
        "patchy {side} {zone} pneumonia",
        "multifocal pneumonia in the {side} {zone}",
        "findings of pneumonia in the {side} {zone}",
        "{side} {zone} bronchopneumonia",
    ),
    "Pneumothorax": (
        "{a}{side} pneumothorax",
        "{a}{side} apical pneumothorax",
        "{a}pneumothorax on the {side}",
        "{side} pneumothorax with visible pleural line",
    ),
}
BY_SEVERITY = ("Cardiomegaly", "Edema", "Pneumonia", "Consolidation", "Lung Opacity")
_ZONE_WORDS = {
    "upper": ("upper lobe", "upper zone", "apex"),
    "mid": ("mid lung", "mid zone", "perihilar region"),
    "lower": ("lower lobe", "base", "lower zone"),
}
_NORMAL = (
    "no acute cardiopulmonary process",
    "no acute cardiopulmonary abnormality",
    "normal chest radiograph",
    "clear lungs without acute process",
    "no evidence of acute disease in the chest",
)
_NEGATED = {
    "Pneumothorax": ("no pneumothorax", "no evidence of pneumothorax"),
    "Pleural Effusion": ("no pleural effusion", "no effusion"),
    "Consolidation": ("no focal consolidation",),
    "Edema": ("no pulmonary edema",),
    "Cardiomegaly": ("heart size is normal",),
}
_UNCERTAIN = {"Pneumonia": "pneumonia cannot be excluded", "Atelectasis": "possible atelectasis"}
_HEADS = ("IMPRESSION:", "IMPRESSION:", "IMPRESSION:", "IMPRESSION: ", "CONCLUSION:", "IMPRESSION AND RECOMMENDATION:")


def phrase(finding: Finding, rng: np.random.Generator) -> str:
    """One phrase for a finding, lower case without a full stop."""
    amount = finding.severity if finding.name in BY_SEVERITY else finding.size
    template = str(rng.choice(_PHRASES[finding.name]))
    optional = f"{amount} " if rng.random() < 0.6 or "{a}in size" in template else ""
    if finding.side == "bilateral":
        template = template.replace("on the {side}", "on both sides").replace("the {side} {zone}", "both lungs")
    text = template.format(a=optional, side=finding.side, zone=rng.choice(_ZONE_WORDS[finding.zone]))
    return text.replace(f"is {amount} enlarged", f"is {amount}ly enlarged")


def impression(phrases: list[str], names: list[str], rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """Impression of a report and its CheXpert labels.

    phrases, names: one per finding present; none means No Finding
    Returns the text (one to three sentences) and labels 1.0 (present), 0.0 (negated), -1.0 (uncertain).
    """
    labels = dict.fromkeys(names, 1.0) if names else {"No Finding": 1.0}
    if not phrases:
        sentences = [str(rng.choice(_NORMAL))]
    elif len(phrases) > 1 and rng.random() < 0.4:
        sentences = [" and ".join(phrases)]
    else:
        sentences = list(phrases)
    sentences = [sentences[i] for i in rng.permutation(len(sentences))]
    if rng.random() < 0.3:
        name = str(rng.choice([n for n in _NEGATED if n not in names]))
        sentences.append(str(rng.choice(_NEGATED[name])))
        labels[name] = 0.0
    elif names and rng.random() < 0.05:
        name = str(rng.choice(list(_UNCERTAIN)))
        if name not in labels:
            sentences.append(_UNCERTAIN[name])
            labels[name] = -1.0
    return " ".join(f"{s[0].upper()}{s[1:]}." for s in sentences), labels


def report(impression_text: str, phrases: list[str], rng: np.random.Generator) -> tuple[str, bool]:
    """A whole report file, and whether it has an impression (4 in 100 have none)."""
    has_impression = bool(rng.random() >= 0.04)
    findings = [f"{p.capitalize()}." for p in phrases]
    findings.append("The bony thorax is intact." if rng.random() < 0.5 else "No displaced rib fracture.")
    parts = [
        " " * 33 + "FINAL REPORT",
        " EXAMINATION:  CHEST (PORTABLE AP)" if rng.random() < 0.5 else " EXAMINATION:  CHEST (PA AND LAT)",
        f" INDICATION:  ___ year old {rng.choice(['man', 'woman'])} with {rng.choice(['cough', 'dyspnea', 'fever'])}.",
        " COMPARISON:  ___",
        " FINDINGS: \n \n " + "\n ".join(findings),
    ]
    if has_impression:
        body = impression_text.replace(". ", ".\n ") if rng.random() < 0.5 else impression_text
        parts.append(f" {rng.choice(_HEADS)} \n \n {body}")
    return "\n \n".join(parts) + "\n", has_impression
