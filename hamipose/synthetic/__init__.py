"""Labeled synthetic images of people and left hands, rendered by ray casting; no licensed data is needed.

Bodies of anny in random poses are clothed, lit and rendered. `people.sample.render_person` and
`hands.sample.render_hand` render one image; `hamipose.data.datasets.synthetic` makes data sets of them. Importing this
package imports neither anny nor warp; they are loaded for the first image.
"""
