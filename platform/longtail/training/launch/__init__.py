"""Start a training run: prepare the version's folder, start torchrun, follow it, read its end."""
