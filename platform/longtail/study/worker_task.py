"""The function that a worker process runs. It imports torch late, because the parent needs none."""

import logging
import warnings

from longtail.study.cells import Cell, Document, StudyData


def train_and_measure(data: StudyData, cell: Cell) -> Document:
    """Run `longtail.study.cell_measurement.train_and_measure` without the libraries' warnings."""
    # Every worker would print the deprecations inside TorchRec and FBGEMM, which a user cannot fix.
    warnings.simplefilter("ignore")
    from longtail.study import cell_measurement

    for library in ("torch", "torchrec"):  # torch sets its own level when it is imported
        logging.getLogger(library).setLevel(logging.ERROR)
    return cell_measurement.train_and_measure(data, cell)
