"""The report: one page for each version, which shows what it is and what it changed.

A page is one HTML file that needs no network. It is written beside the versions, to
`<home>/reports/<version>.html`, since a committed version never changes. It reads the files of a
version and of its day's run, and trains nothing.

    write.py            writes a version's page, its figures, and the index of all pages
    sources.py          the files that a page is made from
    contents.py         what stands on a page, without the vectors
    changes.py          what changed in data, features and settings
    neighbour_lists.py  the neighbours of every item, and how many stayed
    space_map.py        the plane that the items are drawn in, and its colours
    plots.py            the geometry of the plots
    packed.py           the columns that the search box and the map read
    rendering.py        the templates, and how numbers are written
    templates/          the pages: HTML, CSS and JavaScript
"""
