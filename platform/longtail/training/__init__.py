"""Trains a version's two towers, one process a rank.

    launch/                  the launcher: starts torchrun, follows it, and reports
    sharding/                spreads the embedding tables over the ranks
    optimization/            learning rates, weight decay, mean weights, early stopping
    worker.py                one rank: builds everything, trains, and writes the result
    loop.py                  the training loop
    batch_pipeline.py        brings batches to the steps, ahead of their turn
    train_in_process.py      trains in this process, as a study does

    checkpoint.py            writes and loads checkpoints beside training
    checkpoint_files.py      checkpoints as files
    checkpoint_selection.py  the checkpoint that becomes the model, or several for their mean
    state_snapshot.py        a copy of the state that a checkpoint is written from
    encoder_bundle.py        the encoder that a checkpoint holds, or several
    warm_start.py            starts from what an earlier version has learned
    run_progress.py          how far a run has come
    interruption.py          stops all ranks after the same step

    loss_meter.py            collects losses, and stops a run that diverges
    reports.py               records as JSON lines and in TensorBoard
    step_clock.py            times the parts of a step
    step_profile.py          profiles some steps
    process_setup.py         threads, memory and number formats of this machine
    torch_releases.py        the differences between the releases of torch that we run on

SHARDING.md says how tables are spread, SPEED.md what a step costs, and EPOCHS.md what changes
from epoch to epoch.
"""
