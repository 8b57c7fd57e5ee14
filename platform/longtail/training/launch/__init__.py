"""Starts the training of a version in processes of its own, and follows it.

    launcher.py        prepares the version's folder, starts the ranks, and reports their progress
    version_name.py    the name of the version that a configuration and its inputs make
    version_inputs.py  copies into the version what it is trained with
    torchrun.py        starts torchrun, watches it, and passes signals on
    torchrun_agent.py  torchrun itself, which ends when the launcher ends
    openmp_threads.py  lets the threads of torch's operators wait in a way that suits training
    training_log.py    follows the records that rank 0 writes
    run_outcome.py     tells the launcher why the ranks decided to end a run

`python -m longtail.training.launch` runs the launcher.
"""
