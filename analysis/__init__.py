"""From stored trials to the paper's tables, with nothing but files in between.

`cells` finds the trials of every cell that a plan wants and refuses cells that mix conditions,
`conditions` tells what rows do not share, `studied` adds intervals, tests (`stats`) and the
paper's numbers, and `assembled` makes captions, rows and footnotes of them. Each `table<N>` says
what one of the paper's tables shows, `comparison` what Tables 3 to 6 share, and `tables` writes
all of them; `report` shows all that a results folder has, `query` asks it anything.

    inference/    noise of test examples and of seeds: intervals, tests, power
    typesetting/  a table as a value, and as LaTeX, markdown, HTML and CSV
    tracing/      what every cell is made of, and what has changed since
    figures/      what results look like
    reporting/    the parts of the report
    querying/     trials as tables of a database
    describing/   Tables 1 and 2 and more beside a user's copy of a data set

Neither torch nor ray is imported, so a laptop that has a copy of the results folder is enough.
No module or folder here has a name of the standard library's: run as a script, it would be found
in its place.
"""
