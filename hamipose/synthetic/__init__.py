"""Licence-free people: bodies from anny in drawn poses, clothed, lit, photographed by ray casting, labeled exactly.

`people.picture_person` makes one; `hamipose.data.datasets.synthetic.people` makes data sets of them. `hands.picture_hand` and
`hamipose.data.datasets.synthetic.hands` do the same for left hands, in modules whose names begin with `hands_`. Importing this
package imports neither anny nor warp: they are loaded when the first picture is made.
"""
