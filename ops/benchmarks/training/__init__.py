"""What `train.py` measures: our trainer, and what it is measured against."""
