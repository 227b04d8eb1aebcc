"""torchaudio and transformers on the signals of `fbank.rs`, on one thread.

Started by `cargo xtask bench-peers fbank` with the folder of the WAV files.
"""

import os
import platform
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy
import soundfile
import torch
import torchaudio
import torchaudio.compliance.kaldi
import transformers
from worker import serve

RATE = 16_000
SECONDS = 10

torch.set_num_threads(1)
torch.set_grad_enabled(False)

folder = sys.argv[1]
n = numpy.arange(SECONDS * RATE, dtype=numpy.int64)
samples = ((7919 * n) % 1000).astype(numpy.float32) / numpy.float32(1000) - numpy.float32(0.5)
waveform = torch.from_numpy(samples).unsqueeze(0)
extractor = transformers.ASTFeatureExtractor()
resampler = torchaudio.transforms.Resample(44_100, RATE)


def log_mel():
    return torchaudio.compliance.kaldi.fbank(
        waveform,
        sample_frequency=RATE,
        htk_compat=True,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )


def model_input(signal):
    return extractor(signal, sampling_rate=RATE, return_tensors="np")["input_values"][0]


def from_16k():
    signal, _ = soundfile.read(os.path.join(folder, "16k.wav"), dtype="float32")
    return model_input(signal)


def from_44k():
    signal, _ = soundfile.read(os.path.join(folder, "44k.wav"), dtype="float32")
    return model_input(resampler(torch.from_numpy(signal)).numpy())


ready = {
    "python": platform.python_version(),
    "torch": torch.__version__,
    "torchaudio": torchaudio.__version__,
    "transformers": transformers.__version__,
    "numpy": numpy.__version__,
    "soundfile": soundfile.__version__,
}
serve(
    ready,
    {
        "log_mel": log_mel,
        "input": lambda: model_input(samples),
        "wav_16k": from_16k,
        "wav_44k": from_44k,
    },
)
