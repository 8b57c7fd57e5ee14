"""`longtail tune`: chooses hyper-parameters on the validation part, by Optuna. See TUNING.md.

axes.py        what can be tuned, and between which bounds: add an entry to add one
next_trial.py  the values that are tried next
trial.py       trains one model and measures it after every epoch
trials.py      the finished trials on the disk, and what they belong to
resampling.py  the interval of a gain, by a bootstrap over queries
choice.py      the best trial against the present configuration
tune.py        the whole of it: until the time is up
document.py    the result for machines, and in words
yaml_file.py   writes the chosen values into the configuration file
plots.py       the objective of every trial, and what it depends on
"""
