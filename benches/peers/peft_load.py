"""Loads what `peft_cases` wrote with transformers and peft, and compares logits.

    python peft_load.py DIR

Prints a row a case; exit code 1 when a logit is off by more than 1e-5 or a
loader complains of names or shapes.
"""

import sys
import warnings
from pathlib import Path

import peft
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from transformers import ASTForAudioClassification, ASTModel

TOLERANCE = 1e-5


def classifier(folder, labels):
    return ASTForAudioClassification.from_pretrained(
        folder, num_labels=labels, attn_implementation="eager"
    ).eval()


def logits_of(case, backbone, features, expected):
    """The logits that Python's libraries give for one case."""
    labels = expected["logits"].shape[1]
    if case.name.startswith("merged."):
        return classifier(case, labels)(features).logits
    if case.name.startswith("encoder."):
        base = ASTModel.from_pretrained(backbone, attn_implementation="eager").eval()
        tokens = PeftModel.from_pretrained(base, case).eval()(features).last_hidden_state
        pooled = tokens.mean(dim=1)
        return torch.nn.functional.linear(pooled, expected["head.weight"], expected["head.bias"])
    model = PeftModel.from_pretrained(classifier(backbone, labels), case).eval()
    return model(features).logits


def unused(caught):
    """Complaints of a loader that a tensor found no place."""
    words = ("missing", "unexpected", "mismatch")
    texts = [str(warning.message) for warning in caught]
    return [text for text in texts if any(word in text.lower() for word in words)]


def main():
    folder = Path(sys.argv[1])
    transformers.logging.set_verbosity_error()
    features = load_file(folder / "io.safetensors")["input"]
    cases = sorted(path.parent for path in folder.glob("*/expected.safetensors"))
    if not cases:
        sys.exit(f"{folder} holds no case")
    versions = {"peft": peft, "transformers": transformers, "torch": torch}
    print(", ".join(f"{name} {module.__version__}" for name, module in versions.items()) + "\n")
    print("| case | largest logit | largest error | |\n|---|---|---|---|")
    failed = 0
    for case in cases:
        expected = load_file(case / "expected.safetensors")
        with warnings.catch_warnings(record=True) as caught, torch.no_grad():
            warnings.simplefilter("always")
            found = logits_of(case, folder / "backbone", features, expected)
        largest = expected["logits"].abs().max().item()
        error = (found - expected["logits"]).abs().max().item()
        complaints = unused(caught)
        passed = error <= TOLERANCE and not complaints
        failed += not passed
        verdict = "pass" if passed else "**FAIL** " + "; ".join(complaints)
        print(f"| {case.name} | {largest:.2f} | {error:.1e} | {verdict} |")
    if failed:
        sys.exit(1)


main()
