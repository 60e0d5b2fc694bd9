"""From stored trials to the paper's tables, with nothing but files in between.

`cells` finds the trials of every cell that a plan wants and refuses cells that mix conditions,
`conditions` tells what rows do not share, `studied` adds intervals, tests and the paper's numbers,
and `assembled` makes captions, rows and footnotes of them. A `tabular.Table` becomes LaTeX,
markdown, HTML and CSV (`formats`). Each `table<N>` says what one of the paper's tables shows,
`comparison` what Tables 3 to 6 share, and `tables` writes all of them; `describe` puts Tables 1
and 2 beside a user's copy of a data set; `report` shows all that a results folder has. Neither
torch nor ray is imported, so a laptop that has a copy of the results folder is enough.
"""
