"""longtail: item embeddings for large catalogues, right on the long tail.

The packages, in the order in which data flow (each imports only those above it):

    errors.py        the errors that a user can meet
    augmentation/    masks and augmentations of the self-supervised task
    config/          the typed configuration, and CONFIGURATION.md
    artifacts.py     the paths of runs and versions, and atomic writes
    fingerprints.py  decides whether a stage is up to date
    init/            makes a project from a user's tables
    features/        Feast, encoding, vocabularies
    checks/          `longtail check`
    dataset/         the training set and its batches
    correlation/     correlations of item features, and the masking plan
    model/           the two towers and their losses
    encoder/         trained towers that encode, by torch or by NumPy
    training/        training on one rank or many
    evaluation/      retrieval metrics, embedding health, the gate
    embeddings/      export, index, publication, rollback
    serving/         lookups, neighbours, recommendations
    study/           comparisons of variants
    cli/             the `longtail` command
"""

__version__ = "0.1.0"
