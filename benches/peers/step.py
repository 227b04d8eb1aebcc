"""Hugging Face's AST with Soft-MoA on the work of `step.rs`.

Started by `cargo xtask bench-peers step` with a folder that `step.rs` has
filled (`config.json`, `model.safetensors`, `adapter.safetensors`), frames,
clips of a batch, the number of threads, and the device. Attention is eager and
everything is f32, as in the authors' released program; each expert is a module
of its own and they run one after the other.
"""

import os
import platform
import sys

folder, frames, batch, threads = sys.argv[1], *map(int, sys.argv[2:5])
device = sys.argv[5]
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)

import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from worker import serve

EXPERTS, SLOTS, CLASSES, LEARNING_RATE = 7, 1, 50, 1e-3

torch.set_num_threads(threads)


class Adapter(nn.Module):
    def __init__(self, width, bottleneck):
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)

    def forward(self, x):
        return self.up(nn.functional.gelu(self.down(x)))


class SoftMoA(nn.Module):
    """Tokens to slots by a softmax over tokens, one expert after the other,
    slots to tokens by a softmax over slots."""

    def __init__(self, width, bottleneck):
        super().__init__()
        self.phi = nn.Parameter(torch.empty(width, EXPERTS, SLOTS))
        self.experts = nn.ModuleList(Adapter(width, bottleneck) for _ in range(EXPERTS))

    def forward(self, x):
        logits = torch.einsum("bld,dnp->blnp", x, self.phi)
        dispatch = logits.softmax(dim=1)
        combine = logits.flatten(2).softmax(dim=-1).view_as(logits)
        slots = torch.einsum("bld,blnp->bnpd", x, dispatch)
        outputs = [expert(slots[:, index]) for index, expert in enumerate(self.experts)]
        return torch.einsum("bnpd,blnp->bld", torch.stack(outputs, dim=1), combine)


class Block(nn.Module):
    """A block of the backbone with Soft-MoA parallel to its attention."""

    def __init__(self, layer, mixture):
        super().__init__()
        self.layer, self.mixture = layer, mixture

    def forward(self, x, *arguments, **keywords):
        layer = self.layer
        normed = layer.layernorm_before(x)
        attended = layer.attention(normed)
        if isinstance(attended, tuple):
            attended = attended[0]
        x = x + attended + self.mixture(normed)
        hidden = layer.intermediate(layer.layernorm_after(x))
        return layer.output(hidden, x)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.ast = transformers.ASTModel.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        )
        self.ast.requires_grad_(False)
        self.ast.layernorm.requires_grad_(True)
        values = load_file(os.path.join(folder, "adapter.safetensors"))
        layers = self.ast.encoder.layer
        width = self.ast.config.hidden_size
        for index in range(len(layers)):
            mixture = SoftMoA(width, width // 128)
            self.load_mixture(mixture, values, f"encoder.layer.{index}.moa_mhsa.")
            layers[index].layernorm_before.requires_grad_(True)
            layers[index] = Block(layers[index], mixture)
        self.head = nn.Linear(width, CLASSES)
        with torch.no_grad():
            self.head.weight.copy_(values["classification_head.weight"])
            self.head.bias.copy_(values["classification_head.bias"])

    @staticmethod
    @torch.no_grad()
    def load_mixture(mixture, values, prefix):
        mixture.phi.copy_(values[prefix + "phi"].view_as(mixture.phi))
        for index, expert in enumerate(mixture.experts):
            # Ours are stacked [experts, in, out].
            expert.down.weight.copy_(values[prefix + "down"][index].T)
            expert.down.bias.copy_(values[prefix + "down_bias"][index].flatten())
            expert.up.weight.copy_(values[prefix + "up"][index].T)
            expert.up.bias.copy_(values[prefix + "up_bias"][index].flatten())

    def forward(self, features):
        return self.head(self.ast(features).last_hidden_state.mean(dim=1))


model = Classifier().to(device)
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.1)
values = load_file(os.path.join(folder, "clips.safetensors"))
features = values["features"].to(device)
labels = values["labels"].long().to(device)


def logits():
    with torch.no_grad():
        return model(features)


def train():
    model.train()
    optimiser.zero_grad()
    loss = nn.functional.cross_entropy(model(features), labels)
    loss.backward()
    optimiser.step()
    return loss.item()


def evaluate():
    model.eval()
    return logits().argmax(dim=-1).tolist()


ready = {
    "python": platform.python_version(),
    "torch": torch.__version__,
    "transformers": transformers.__version__,
    "trained": sum(parameter.numel() for parameter in trained),
}
serve(
    ready,
    {"train": train, "evaluate": evaluate, "logits": lambda: logits().cpu().numpy()},
    least_runs=1,
)
