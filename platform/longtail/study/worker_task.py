"""What a worker process is given to do; light to import, since the parent needs no torch."""

import logging
import warnings

from longtail.study.cells import Cell, Document, StudyData


def train_and_measure(data: StudyData, cell: Cell) -> Document:
    """See `longtail.study.cell_measurement.train_and_measure`."""
    # Deprecations inside TorchRec and FBGEMM, once a worker: nothing that people can act on.
    warnings.simplefilter("ignore")
    from longtail.study import cell_measurement as measure

    for library in ("torch", "torchrec"):  # torch sets its own level when it is imported
        logging.getLogger(library).setLevel(logging.ERROR)
    return measure.train_and_measure(data, cell)
