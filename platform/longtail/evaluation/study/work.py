"""What a worker process is given to do; light to import, since the parent needs no torch."""

import logging
import warnings

from longtail.evaluation.study.cells import Cell, Document, StudyData


def train_and_measure(data: StudyData, cell: Cell) -> Document:
    """See `longtail.evaluation.study.measure.train_and_measure`."""
    # Deprecations inside TorchRec and FBGEMM, once a worker: nothing that people can act on.
    warnings.simplefilter("ignore")
    from longtail.evaluation.study import measure

    for library in ("torch", "torchrec"):  # torch sets its own level when it is imported
        logging.getLogger(library).setLevel(logging.ERROR)
    return measure.train_and_measure(data, cell)
