"""From stored trials to the paper's tables, with nothing but files in between.

`cells` finds the trials of every cell that a plan wants and refuses cells that mix conditions,
`tabular` turns a table into LaTeX, markdown and CSV, and each `table<N>` says what one of the
paper's tables shows (`comparison` is what Tables 5 and 6 share); `describe` puts Tables 1 and 2
beside a user's copy of a data set. Neither torch nor ray is imported, so a laptop that has a copy
of the results folder is enough.
"""
