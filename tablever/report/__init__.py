"""One diff, many pure renderers: ``Findings`` in, text out; nothing here opens a table or a file of data.

From the edges inwards; imports run down this list only:

    page                            one HTML file that opens offline; a few lines for notebooks
    view                            what the page says, section by section
    charts, shapes                  a column before and after as SVG; what a chart shows, as numbers
    markdown, screen, json_lines    for a pull request; for a terminal; for programs
    wording, cells                  what every report says alike; the cells of updated rows
"""
