"""Licence-free people: bodies from anny in drawn poses, clothed, lit, photographed by ray casting, labelled exactly.

`people.picture_person` makes one; `hamipose.data.synthetic` makes data sets of them. Importing this package imports
neither anny nor warp: they are loaded when the first person is made.
"""
