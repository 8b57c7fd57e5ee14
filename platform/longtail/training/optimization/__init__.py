"""Shapes how weights change from step to step, and from epoch to epoch.

schedule.py         the learning rates of each step, and the start of each epoch
weight_decay.py     takes a share of the weights away, of towers and of tables
weight_average.py   the mean of the weights at the ends of several epochs
early_stopping.py   ends training when a validation figure no longer rises
"""
