"""A trained model, apart from training: its tensors' names, its file, and both towers to encode."""
