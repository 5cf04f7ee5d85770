"""The whole flow, from top to bottom: importing, aligning, preparing, learning, judging.

Only here do readers, stages, registries and the store meet. Each function runs what was not run yet, leaves
what is finished, and writes down settings, inputs and time beside what it made.
"""
