"""What a refresh may publish: not what was rolled back, and nothing where no row is new.

withdrawn.py  the file `withdrawn.json`: versions that were rolled back
news.py       whether a day has new rows, and how old those of a version are
"""
