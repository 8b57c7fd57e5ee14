"""Augmentations: how items are changed before their two views are compared.

To add one:

1. Write its class in augmentations.py. It derives from `Augmentation` (augmentation_base.py), has a
   `name`, and sets the flags in which it differs from the defaults. If it hides features, it sets
   `hides_features` and returns its masks from `_masks`.
2. Name the class in registry.py. `self_supervision.augmentation` then takes its name.
3. Compare it: `longtail study --variants baseline,NAME`, with as many names as you like.

Nothing else changes: the configuration, the batches, the model, the planner and the study ask the
object for what they need.

- augmentation_base.py: the base class, with the flags and their defaults.
- augmentations.py: the augmentations, one class each.
- registry.py: the augmentations by name.
- masks.py: the mask of each step, in the forms that augmentations choose from.
- masking_plan.py: which features are masked together, by their correlations.
"""
